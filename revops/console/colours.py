"""The console's colours: a quiet slate, and one accent, the blue-green of deep water. Read by the theme's settings."""

from __future__ import annotations

COLOURS = {
    "base": {
        "50": "oklch(98.4% .003 220)",
        "100": "oklch(96.6% .005 220)",
        "200": "oklch(92.4% .008 222)",
        "300": "oklch(86.6% .012 224)",
        "400": "oklch(70.8% .02 226)",
        "500": "oklch(55.2% .024 228)",
        "600": "oklch(44.8% .026 230)",
        "700": "oklch(37.2% .026 232)",
        "800": "oklch(28.2% .024 234)",
        "900": "oklch(21.4% .022 236)",
        "950": "oklch(16% .02 238)",
    },
    "primary": {
        "50": "oklch(97.6% .012 205)",
        "100": "oklch(94.4% .03 206)",
        "200": "oklch(89% .052 208)",
        "300": "oklch(81% .078 212)",
        "400": "oklch(71.5% .096 217)",
        "500": "oklch(61.5% .1 221)",
        "600": "oklch(51.8% .092 224)",
        "700": "oklch(44.6% .08 227)",
        "800": "oklch(38.6% .066 229)",
        "900": "oklch(34% .054 231)",
        "950": "oklch(25.6% .042 233)",
    },
}
