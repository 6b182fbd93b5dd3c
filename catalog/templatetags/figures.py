"""Numbers and money in templates."""

from __future__ import annotations

from django import template

from catalog.wording import figure, money_figure, price_figure

register = template.Library()
register.filter("figure", figure)
register.filter("money", money_figure)
register.filter("price", price_figure)
