"""Numbers, money and days in templates."""

from __future__ import annotations

from django import template

from catalog.wording import about_figure, figure, money_figure, period_words, price_figure, signed_figure

register = template.Library()
register.filter("figure", figure)
register.filter("money", money_figure)
register.filter("about", about_figure)
register.filter("price", price_figure)
register.filter("signed", signed_figure)
register.filter("days", period_words)
