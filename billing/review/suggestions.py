"""What a subject or a type that nobody knows was probably meant to be, with a score and the reason for it.

Two ways of being close: nearly the same letters (helios-robotcs, helios-robotics), or a word in common (acme-emea,
acme). A number in common says nothing, so addresses of a network are only compared letter by letter.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, process

from billing.models import ResolutionKind
from catalog.models import Meter
from contracts.models import Customer, CustomerAlias

SUGGESTED = 3
CLOSE = 75  # percent of letters in common from which on two texts are close
LIKELY = 80  # the score from which on a suggestion is taken as the best guess
WORD_WEIGHT = 0.85  # of a score that rests on words in common
MOST_SHARING = 200  # names that share a word; more than that, and the word says nothing
MOST_NAMES = 50_000  # looked through, of customers, keys and subjects
MOST_COMPARISONS = 20_000_000  # in one go: some seconds

_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A resolution that would fit: its kind, its value (a customer's key, a type), what to call it, 0 to 100, why."""

    kind: str
    value: str
    label: str
    score: int
    why: str


@dataclass(frozen=True, slots=True)
class Name:
    """One text a customer is known by; `what` says which: key, name or subject."""

    text: str
    what: str
    customer: str
    label: str


class Names:
    """Everything customers are known by, indexed to be compared with many subjects."""

    def __init__(self, names: Iterable[Name]) -> None:
        self.names = list(names)
        self.texts = [_plain(name.text) for name in self.names]
        self.by_word: dict[str, list[int]] = defaultdict(list)
        for index, text in enumerate(self.texts):
            for word in set(_WORD.findall(text)):
                self.by_word[word].append(index)

    def closest(self, subject: str, limit: int = SUGGESTED) -> list[Suggestion]:
        """The likeliest customers of a subject, the best first; each once."""
        asked = _plain(subject)
        if not asked:
            return []
        best: dict[str, Suggestion] = {}
        for suggestion in [*self._by_letters(asked, subject), *self._by_words(asked)]:
            known = best.get(suggestion.value)
            if known is None or suggestion.score > known.score:
                best[suggestion.value] = suggestion
        ranked = sorted(best.values(), key=lambda found: (-found.score, found.value))
        return ranked[:limit]

    def _by_letters(self, asked: str, subject: str) -> Iterable[Suggestion]:
        found = process.extract(asked, self.texts, scorer=fuzz.ratio, score_cutoff=CLOSE, limit=SUGGESTED * 3)
        for _, score, index in found:
            name = self.names[index]
            if name.text == subject and name.what != "name":
                yield _customer(name, 100, f"it is its {name.what}")
            else:
                yield _customer(name, min(99, round(score)), f"nearly the same letters as its {name.what} {name.text}")

    def _by_words(self, asked: str) -> Iterable[Suggestion]:
        words = set(_WORD.findall(asked))
        telling = {word for word in words if 0 < len(self.by_word.get(word, ())) <= MOST_SHARING}
        for index in {index for word in telling for index in self.by_word[word]}:
            score = round(fuzz.token_set_ratio(asked, self.texts[index]) * WORD_WEIGHT)
            name = self.names[index]
            shared = ", ".join(sorted(telling & set(_WORD.findall(self.texts[index]))))
            if score >= 60:
                yield _customer(name, score, f"shares {shared} with its {name.what} {name.text}")


def _plain(text: str) -> str:
    """Lower case, with one blank for anything that separates words."""
    return " ".join(re.split(r"[\s_\-./:@]+", text.lower().strip()))


def _customer(name: Name, score: int, why: str) -> Suggestion:
    return Suggestion(ResolutionKind.ASSIGN_CUSTOMER.value, name.customer, name.label, score, why)


def known_names() -> Names:
    """Keys, names and subjects of all customers; two queries."""
    customers = list(Customer.objects.order_by("pk").values_list("key", "name")[:MOST_NAMES])
    aliases = CustomerAlias.objects.order_by("pk").values_list("subject", "customer__key", "customer__name")
    names = [Name(key, "key", key, name) for key, name in customers]
    names += [Name(name, "name", key, name) for key, name in customers if name]
    names += [Name(subject, "subject", key, name) for subject, key, name in aliases[:MOST_NAMES]]
    return Names(names)


def best_customers(subjects: Sequence[str], names: Names) -> dict[str, Suggestion]:
    """The best guess for each of many subjects, where there is a likely one. The first are looked at, if too many."""
    affordable = MOST_COMPARISONS // max(1, len(names.texts))
    best = {}
    for subject in subjects[:affordable]:
        found = names.closest(subject, 1)
        if found and found[0].score >= LIKELY:
            best[subject] = found[0]
    return best


def known_types() -> list[str]:
    """The types of events that some meter counts."""
    return list(Meter.objects.order_by("event_type").values_list("event_type", flat=True).distinct())


def closest_types(type: str, known: Sequence[str], limit: int = SUGGESTED) -> list[Suggestion]:
    """The known event types that are most like this one."""
    plain = [_plain(one) for one in known]
    found = process.extract(_plain(type), plain, scorer=fuzz.WRatio, score_cutoff=50, limit=limit)
    return [
        Suggestion(ResolutionKind.MAP_TYPE.value, known[index], known[index], min(99, round(score)), "nearly the same")
        for _, score, index in found
        if known[index] != type
    ]
