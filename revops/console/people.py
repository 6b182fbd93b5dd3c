"""The desk of who works here: users and their groups, in the console's dress."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from catalog.desks import Desk

admin.site.unregister([User, Group])


@admin.register(User)
class UserDesk(UserAdmin, Desk):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "first_name", "last_name", "email", "is_active", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_superuser", "groups"]


@admin.register(Group)
class GroupDesk(GroupAdmin, Desk):
    list_display = ["name"]
