"""What a region is known to hold, from one look at it to the next: nothing may get lost, change, or be made up.

A look is a copy of the region that was made while the guest's CPUs stood still, which is what a reset at that moment
leaves. The order in which a boot reuses the slots follows from what the region held when the module was loaded. So each
look tells which record must be in which slot, and only the slot of a dump under way may hold anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from records import PANIC, Reader

LOG_LINE = re.compile(r"<\d+>\[ *\d+\.\d{6}\] ?[^\n]*\n")
STORM_LINE = re.compile(r"storm (\d+) (\d+) (\d+)\n")  # Which boot, which CPU, and the number of the oops.
HEAD = 200  # So many characters from the beginning of a record tell where in the log it begins.
PIECES = 8  # So many pieces of the log can the next record overlap with.


def eviction_order(slots: list[dict]) -> list[int]:
    """Sort the slots as the module does when it is loaded, the first to be reused first, without those that it keeps.

    The region holds nothing but records of ours, whole or torn.
    """
    ages = {slot["slot"]: (slot["dump"], -slot["part"]) for slot in slots if slot["seq"]}
    if not ages:
        return sorted(range(len(slots)), key=lambda number: slots[number]["kind"] == "torn")
    last = max(slots, key=lambda slot: slot["seq"] or 0)
    newest = max(ages.values())
    before = ages[max(ages)]
    ranks = {}
    for number, slot in enumerate(slots):
        distance = (number - last["slot"] - 1) % len(slots)
        if own := ages.get(number):
            before = own
            ranks[number] = (True, own, 0, distance)
        elif slot["kind"] == "torn":
            # A record that tells no age is newer than the one before it, but never the newest.
            ranks[number] = (True, before, -1 if before == newest else 1, distance)
        else:
            ranks[number] = (False, (), 0, distance)
    order = sorted(ranks, key=ranks.__getitem__)
    loop_start = last["loop_start"] or last["dump"]
    first = [number for number in order if number in ages and ages[number][0] == loop_start][-1:]
    # None of three slots, one of four, two of more.
    kept = (first + order[-1:])[: max(0, len(slots) - 3)][:2]
    return [number for number in order if number not in kept]


def slot_at(order: list[int], position: int) -> int:
    """The slot of a claim: the first quarter of the list is used once, the rest goes round."""
    once = len(order) // 4
    return order[position if position < once else once + (position - once) % (len(order) - once)]


@dataclass
class Boot:
    """What the records of one boot tell."""

    storm: int | None = None
    titles: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)  # Pieces; what lies between them was never seen.

    def add_to_log(self, text: str) -> None:
        """All records are windows on one log: where two of them overlap, they must say the same."""
        for i in reversed(range(max(0, len(self.log) - PIECES), len(self.log))):
            piece = self.log[i]
            joined = list(joins(piece, text)) + list(joins(text, piece))
            # The same lines may come twice. In one of these places it must fit; the first has the longest overlap.
            fitting = [whole for whole in joined if whole]
            assert fitting or not joined, f"two records tell the log differently:\n{piece}\nor\n{text}"
            if fitting:
                self.log[i] = fitting[0]
                return
        self.log.append(text)


def joins(first: str, second: str) -> Iterator[str]:
    """Each place in `first` where `second` seems to begin: what they are together, or nothing if they do not fit."""
    at = first.find(second[:HEAD])
    while at >= 0:
        overlap = min(len(first) - at, len(second))
        fits = first[at : at + overlap] == second[:overlap]
        yield first[:at] + max(first[at:], second, key=len) if fits else ""
        at = first.find(second[:HEAD], at + 1)


@dataclass
class Ledger:
    """The looks must come in the order in which they were taken."""

    reader: Reader
    parameters: dict[str, int]  # For the reader.

    # When the module was loaded.
    at_load: list[dict] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    base: int = 0  # The highest number of a record.

    # At the last look.
    image: bytes = b""
    slots: list[dict] = field(default_factory=list)
    newest: int = 0
    unfinished: int = 0  # The record whose last bytes may not have been written: it is whole to the reader before that.

    boots: set[str] = field(default_factory=set)  # That had records before the module was loaded.
    boot: Boot = field(default_factory=Boot)

    # Totals.
    looks: int = 0
    compared: int = 0
    torn: int = 0

    def totals(self) -> str:
        return (
            f"{self.looks} states checked, {self.compared} records compared, {self.newest} written, "
            f"{self.torn} torn ones seen"
        )

    def loaded(self, image: bytes) -> dict:
        """Begins a boot. Returns the reader's census."""
        assert self.image in (b"", image), "the region has changed while no module was loaded"
        census, *self.at_load = self.reader.lines(image, **self.parameters)
        self.order = eviction_order(self.at_load)
        assert self.order[0] == census["next"], f"next is slot {census['next']}, not the first one of {self.order}"
        self.base = self.newest = census["newest_seq"] or 0
        self.boots |= {slot["boot_id"] for slot in self.at_load if slot["boot_id"]}
        self.boot = Boot()
        self.unfinished = 0
        self.image, self.slots = image, self.at_load
        return census

    def check(self, image: bytes, *, panic: bool = False, written: int = 0) -> None:
        """Takes a look. `written` records at least were written since the load.

        One dump may be under way. A `panic` may have stopped it, and be under way, too.
        """
        census, *slots = self.reader.lines(image, **self.parameters)
        claims = self._claims([slot for slot in slots if self._is_new(slot)], panic)
        expected = {slot["slot"]: slot["seq"] if slot["kind"] == "sealed" else None for slot in self.at_load}
        under_way = set()
        for position, seq in enumerate(claims):
            number = slot_at(self.order, position)
            if seq is None:
                under_way.add(number)
            else:
                expected[number] = seq
        for number, (slot, before) in enumerate(zip(slots, self.slots, strict=True)):
            seq, sealed = slot["seq"], slot["kind"] == "sealed"
            place = f"slot {number} of {summary(slots)}; the order is {self.order}"
            if sealed:
                assert seq == expected[number], f"there must be record {expected[number]}: {place}"
            else:
                assert number in under_way or expected[number] is None, f"record {expected[number]} is lost: {place}"
            same = sealed and before["kind"] == "sealed" and seq == before["seq"]
            self.compared += same
            assert not same or said(slot) == said(before), f"it has changed: {before} {slot}"
            if number in under_way:
                # In memory that was never used, the first bytes of a seal are garbage.
                unused = {"zero", "garbage"} if before["kind"] in ("zero", "garbage") else set()
                assert slot["kind"] in {"sealed", "torn"} | unused, f"it is {slot['kind']}: {place}"
            elif not sealed or (same and seq != self.unfinished):
                begin, end = number * census["stride"], (number + 1) * census["stride"]
                assert image[begin:end] == self.image[begin:end], f"its bytes have changed: {place}"
        self._check_new_ones([slot for slot in slots if self._is_new(slot)])
        self.newest = self.unfinished = max([self.base, *(seq for seq in claims if seq)])
        assert self.newest - self.base >= written, f"the guest has written {written} records: {summary(slots)}"
        self.image, self.slots = image, slots
        self.looks += 1
        self.torn += census["torn"]

    def _is_new(self, slot: dict) -> bool:
        """Whether it was written since the load."""
        return slot["kind"] == "sealed" and slot["seq"] > self.base

    def _claims(self, new: list[dict], panic: bool) -> list[int | None]:
        """The numbers of the records since the load, in the order of their claims. None: a dump that is not complete."""
        oopses = max((slot["seq"] for slot in new if slot["reason"] != PANIC), default=self.base)
        claims: list[int | None] = list(range(self.base + 1, oopses + 1))
        panics = sorted((slot for slot in new if slot["reason"] == PANIC), key=lambda slot: slot["seq"])
        if not panics:
            return claims + [None] * (2 if panic else 1)
        stopped = panic and panics[0]["slot"] != slot_at(self.order, len(claims))
        # The dump that was stopped may have had a number.
        assert panics[0]["seq"] - oopses in (1, 1 + stopped), f"the panic has number {panics[0]['seq']}"
        return claims + [None] * stopped + [slot["seq"] for slot in panics] + [None]

    def _check_new_ones(self, new: list[dict]) -> None:
        texts = {(slot["dump"], slot["part"]): slot["text"] for slot in new}
        seen = {slot["seq"] for slot in self.slots if slot["kind"] == "sealed"}
        for slot in sorted(new, key=lambda slot: slot["seq"]):
            if slot["seq"] in seen:
                continue
            dump, part = slot["dump"], slot["part"]
            assert slot["seq"] == dump + part - 1, f"part {part} of {dump} is record {slot['seq']}"
            assert slot["boot_id"] not in self.boots, f"record {slot['seq']} is of an earlier boot"
            check_text(slot, self.boot)
            assert slot["title"] not in self.boot.titles, f"twice in a boot: {slot['title']}"
            self.boot.titles.add(slot["title"])
            # The text of a part comes before that of the part with the number before.
            self.boot.add_to_log(slot["text"] + texts.get((dump, part - 1), ""))


def said(slot: dict) -> dict:
    """What a slot's record says, however many of its bytes had to be corrected."""
    return {name: value for name, value in slot.items() if name not in ("corrected", "bad_blocks")}


def check_text(slot: dict, boot: Boot) -> None:
    """Is it a piece of the kernel log, of this boot, and whole?"""
    text = slot["text"]
    assert "".join(LOG_LINE.findall(text)) == text, f"not lines of a log: {slot}"
    reason = "Panic" if slot["reason"] == PANIC else "Oops"
    assert re.fullmatch(rf"{reason}#\d+ Part{slot['part']}", slot["title"]), slot
    if reason == "Panic" and slot["part"] == 1:
        assert "Kernel panic - not syncing" in text, f"a panic without its message: {text}"
    numbers: dict[str, int] = {}
    for storm, cpu, number in STORM_LINE.findall(text):
        if boot.storm is None:
            boot.storm = int(storm)
        assert int(storm) == boot.storm, f"lines of storms {storm} and {boot.storm} in one record: {text}"
        assert int(number) == numbers.get(cpu, int(number) - 1) + 1, f"the lines of CPU {cpu} have gaps: {text}"
        numbers[cpu] = int(number)


def summary(slots: list[dict]) -> str:
    def words() -> Iterator[str]:
        for slot in slots:
            yield f"{slot['slot']}: {slot['kind']}" + (f" {slot['seq']}" if slot["seq"] else "")

    return ", ".join(words())
