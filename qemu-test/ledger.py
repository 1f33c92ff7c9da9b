"""What a region is known to hold, from one look at it to the next: nothing may get lost, change, or be made up.

A look is a copy of the region that was made while the guest's CPUs stood still, which is what a reset at that moment
leaves. A record that was seen sealed counts as acknowledged. From then on it must be there, unchanged, until newer
records need its slot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from records import PANIC, Reader

SIG = b"DBGC"
MAGIC = b"SEAL"  # The last bytes of a zone, but for parity.

LOG_LINE = re.compile(r"<\d+>\[ *\d+\.\d{6}\] ?[^\n]*\n")
STORM_LINE = re.compile(r"storm (\d+) (\d+) (\d+)\n")  # Which boot, which CPU, and the number of the oops.
HEAD = 200  # So many characters from the beginning of a record tell where in the log it begins.
PIECES = 8  # So many pieces of the log can the next record overlap with.


@dataclass(frozen=True)
class Sealed:
    """A record that was seen whole."""

    seq: int
    dump: int
    part: int
    boot_id: str
    said: str  # All that the reader says of it.
    content: bytes  # Of the slot, without what a dump that takes the slot changes before it gives up the record.
    corrected: bool  # While a dump gives up the record, the parity may hold on to it for a moment.

    @property
    def age(self) -> tuple[int, int]:
        """Sorts by what is to be overwritten first."""
        return self.dump, -self.part


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
    parity: int = 0  # Bytes of parity for the header, which are the last ones of a slot.

    sealed: dict[int, Sealed] = field(default_factory=dict)
    newest: int = 0
    seen: set[int] = field(default_factory=set)  # The numbers of all records that were ever seen sealed.
    boots: dict[str, Boot] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)  # Slots that were seen to hold anything.

    # When the module was loaded.
    newest_at_load: int = 0
    boots_at_load: int = 0
    free_at_load: int = 0
    torn_at_load: int = 0
    corrected_at_load: int = 0

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
        census, *slots = self.reader.lines(image, **self.parameters)
        self.newest_at_load = self.newest
        self.boots_at_load = len(self.boots)
        self.free_at_load = sum(slot["kind"] != "sealed" for slot in slots)
        self.torn_at_load = census["torn"]
        self.corrected_at_load = sum(record.corrected for record in self.sealed.values())
        return census

    def check(self, image: bytes, *, dumps: int = 1, written: int = 0) -> None:
        """Takes a look. At most so many `dumps` are under way, and so many records were `written` since the load."""
        census, *slots = self.reader.lines(image, **self.parameters)
        self.looks += 1
        now: dict[int, Sealed] = {}
        for slot in slots:
            self._check_kind(slot)
            if slot["kind"] == "sealed":
                record = self._sealed(slot, image, census["stride"])
                assert record.seq not in now, f"there are two records with number {record.seq}"
                now[record.seq] = record
        self._check_old_ones(now, {slot["loop_start"] for slot in slots if slot["loop_start"]}, dumps)
        self._check_new_ones([slot for slot in slots if slot["kind"] == "sealed"])
        self.newest = max([self.newest, *now])

        new = self.newest - self.newest_at_load
        assert new >= written, f"the guest has written {written} records, and {new} are there"
        # A slot that is free is taken before any record is overwritten.
        for what, limit, count in (
            ("without a record", max(self.free_at_load - new, dumps), len(slots) - len(now)),
            ("torn", max(self.torn_at_load - new, dumps), census["torn"]),
            ("corrected", self.corrected_at_load + dumps, sum(record.corrected for record in now.values())),
        ):
            assert count <= limit, f"{count} slots are {what}, and not {limit} at most: {summary(slots)}"
        self.torn += census["torn"]
        self.sealed = now

    def _check_kind(self, slot: dict) -> None:
        kinds = {"sealed", "torn"}
        if slot["slot"] not in self.used:
            # In memory that was never used, the first bytes of a seal are garbage.
            kinds |= {"zero", "garbage"}
        assert slot["kind"] in kinds, f"a slot is {slot['kind']}: {slot}"
        if slot["kind"] in ("sealed", "torn"):
            self.used.add(slot["slot"])

    def _sealed(self, slot: dict, image: bytes, stride: int) -> Sealed:
        begin = slot["slot"] * stride
        said = str({name: value for name, value in slot.items() if name not in ("corrected", "bad_blocks")})
        # The first and the last bytes of a record tell that another one is going to be written, or is complete.
        content = image[begin + len(SIG) : begin + stride - self.parity - len(MAGIC)]
        corrected = slot["corrected"] + slot["bad_blocks"] > 0
        return Sealed(slot["seq"], slot["dump"], slot["part"], slot["boot_id"], said, content, corrected)

    def _check_old_ones(self, now: dict[int, Sealed], firsts: set[int], dumps: int) -> None:
        oldest = sorted(record.age for record in now.values() if record.dump not in firsts)
        # Of two dumps at the same time, the first may have chosen the oldest record, and not have harmed it yet. And
        # a record that was complete after one with a later number goes after that: one, as the other CPU wrote that.
        del oldest[: dumps - 1 + (dumps > 1)]
        for seq, before in self.sealed.items():
            if seq in now:
                assert now[seq].said == before.said, f"record {seq} has changed: {before.said} {now[seq].said}"
                intact = now[seq].content == before.content
                assert intact or now[seq].corrected or before.corrected, f"bytes of record {seq} have changed"
                self.compared += 1
                continue
            assert before.dump not in firsts, f"record {seq} is lost, which began a loop of crashes"
            assert oldest and oldest[0] > before.age, f"record {seq} is lost, and older ones are there: {sorted(now)}"

    def _check_new_ones(self, slots: list[dict]) -> None:
        texts = {(slot["dump"], slot["part"]): slot["text"] for slot in slots}
        for slot in sorted(slots, key=lambda slot: slot["seq"]):
            seq = slot["seq"]
            if seq in self.sealed:
                continue
            dump, part = slot["dump"], slot["part"]
            assert part == 1 or (dump, part - 1) in texts, f"part {part} of {dump} is there, and part {part - 1} is not"
            assert seq not in self.seen, f"record {seq} was gone, and is back (newest: {self.newest})"
            assert seq > self.newest_at_load, f"record {seq} has a number from before (then: {self.newest_at_load})"
            self.seen.add(seq)
            boot = self.boots.setdefault(slot["boot_id"], Boot())
            new_boots = list(self.boots)[self.boots_at_load :]
            assert new_boots == [slot["boot_id"]], f"record {seq} is of boot {slot['boot_id']}, not of {new_boots}"
            check_text(slot, boot)
            assert slot["title"] not in boot.titles, f"twice in a boot: {slot['title']}"
            boot.titles.add(slot["title"])
            # The text of a part comes before that of the part with the number before.
            boot.add_to_log(slot["text"] + texts.get((dump, part - 1), ""))


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
