"""Decides what the device does next: which requests sit in which slots, and who computes when.

Pure Python, without JAX or clocks, so that it can be tested alone. The life of a request:

1. `add` puts it at the end of a bounded queue, or raises `QueueFull`.
2. `schedule` gives slots to the oldest in the queue, then says what one step computes under one
   token budget: a token (with a guess of some more) for each running sequence, and with what is
   left of the budget chunks of prompts, the oldest first. A long prompt therefore never holds up
   the others for longer than a chunk. A prompt begins with what `prefix_cache` has kept of it.
3. The engine runs the step and hands the tokens to `postprocess`, which appends them, finishes
   what is finished, and frees those slots.
4. `cancel` and `finish` end a sequence from outside, at any moment between these calls.

The KV cache is one rectangle of slots x positions (`Layout`). Where memory is limited it is as long
as its longest sequence needs, and a longer one has fewer slots: then the youngest sequence is
pre-empted. It goes back to the head of the queue, and comes back with what it had generated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from collections.abc import Sequence as Many

from serving.counts import Counts
from serving.prefix_cache import BLOCK, PrefixCache
from serving.rectangle import move_slots
from serving.sequence import Sequence
from serving.step import Chunk, Layout, Limits, Load, Row, Save, Step, pick_size, put_together


class QueueFull(Exception):
    """No place in the queue; `waiting` sequences are in front."""

    def __init__(self, waiting: int) -> None:
        """Say how many wait."""
        super().__init__(f"{waiting} requests are waiting already")
        self.waiting = waiting


class Scheduler:
    """Slots, a queue and a prefix cache. Not thread-safe: the engine guards it with its lock."""

    def __init__(self, limits: Limits, cache_blocks: int = 0) -> None:
        """`cache_blocks` blocks of finished prompts are kept."""
        self.limits = limits
        self.prefix = PrefixCache(cache_blocks)
        self.counts = Counts()
        self.waiting: deque[Sequence] = deque()
        self.layout = limits.layouts[0]
        self._order: list[Sequence] = []  # those in slots, oldest first
        self._unsaved: list[tuple[int, list[int], int]] = []  # slot, tokens, whole blocks of them

    @property
    def active(self) -> tuple[Sequence, ...]:
        """Sequences that hold a slot, oldest first."""
        return tuple(self._order)

    @property
    def busy(self) -> bool:
        """There is something to do."""
        return bool(self._order or self.waiting or self._unsaved)

    @property
    def cache_used_ratio(self) -> float:
        """Filled share of all cache positions that may be held at once, 0..1."""
        most = max(layout.slots * layout.length for layout in self.limits.layouts)
        return sum(sequence.computed for sequence in self._order) / most

    def add(self, *sequences: Sequence) -> None:
        """Queue them all or none; QueueFull when more would wait than the limit allows.

        A sequence that a free slot can take at once does not count as waiting.
        """
        free = self.limits.layouts[0].slots - len(self._order)
        if len(self.waiting) + len(sequences) - free > self.limits.queue:
            raise QueueFull(len(self.waiting))
        for sequence in sequences:
            if not 0 < len(sequence.prompt) < self.limits.context:
                raise ValueError(f"a prompt of {len(sequence.prompt)} tokens does not fit")
        self.waiting.extend(sequences)

    def cancel(self, sequence: Sequence) -> None:
        """End it wherever it is; nothing happens when it has ended already."""
        self.finish(sequence, "abort")

    def finish(self, sequence: Sequence, reason: str) -> None:
        """End a sequence for `reason` and free its slot."""
        if sequence.finish_reason is not None:
            return
        sequence.finish_reason = reason
        if sequence.slot is None:
            self.waiting.remove(sequence)
        else:
            self._release(sequence)

    def forget(self) -> None:
        """The device lost what it held: nothing is kept, and nobody runs (all were finished)."""
        self.prefix.clear()
        self._unsaved.clear()
        self.layout = self.limits.layouts[0]

    def rest(self) -> Layout | None:
        """The smallest layout, when nobody runs and the present one is larger."""
        smallest = self.limits.layouts[0]
        if self.busy or self.layout == smallest:
            return None
        self.layout = smallest
        return smallest

    # --- what comes next --------------------------------------------------------------------

    def schedule(self) -> Step:
        """Pre-empt and admit, then say what the next step computes."""
        while len(self._order) > self._layout_for(self._order).slots:
            self._preempt(self._order[-1])
        saves = self._save()
        admitted = self._admit()
        decoding = [sequence for sequence in self._order if sequence.decoding]
        loads, chunks = self._cut_prompts(self.limits.budget - len(decoding))
        width = 1
        drafts: list[tuple[int, ...]] = [()] * len(decoding)
        if not chunks and self._may_draft(decoding):
            drafts = [self._draft(sequence) for sequence in decoding]
            width = self.limits.draft_width if any(drafts) else 1
        # A chunk of this step comes before the rows: its slot is free only after it.
        ends = {chunk.sequence: chunk.start + len(chunk.tokens) for chunk in chunks}
        layout, source = self._arrange(width)
        rows = tuple(Row(s, draft) for s, draft in zip(decoding, drafts, strict=True))
        others = [s for s in self._order if s not in set(decoding)]
        idle = tuple((s.slot, ends.get(s, s.computed)) for s in others if s.slot is not None)
        most = self.limits.rows_of_prompts(self.layout)
        batches = put_together(chunks, most, self.limits.chunk_sizes[-1])
        return Step(saves, layout, source, loads, chunks, rows, width, idle, admitted, batches)

    def follow(self, step: Step) -> Step | None:
        """What comes after a step that is being computed, before anybody knows what it gives.

        None where that decides it: an answer reaches its limit, is guessed ahead or has ended,
        somebody can be admitted, a prompt or blocks to be kept wait. Answers may end in `step`
        none the less (by a stop token, say): what the next step gives them is thrown away.
        """
        rows = [row.sequence for row in step.rows]
        free = self.waiting and self._has_room()
        everybody = len(rows) == len(self._order) and all(s.finish_reason is None for s in rows)
        if not rows or not everybody or step.width > 1 or free or self._unsaved:
            return None
        longest = max(len(sequence.tokens) for sequence in rows) + 1
        last = any(sequence.max_tokens - sequence.generated_count <= 1 for sequence in rows)
        if last or longest >= self.layout.length or self._may_draft(rows):
            return None
        again = tuple(Row(sequence) for sequence in rows)
        return Step((), None, (), (), (), again, 1, (), (), ahead=True)

    def _layout_for(self, sequences: Iterable[Sequence], extra: int = 0) -> Layout:
        """The smallest layout that is long enough for all of `sequences`."""
        needed = max((s.needed for s in sequences), default=0) + extra
        lengths = [layout.length for layout in self.limits.layouts]
        return self.limits.layouts[lengths.index(pick_size(lengths, needed))]

    def _preempt(self, sequence: Sequence) -> None:
        self._release(sequence)
        sequence.slot, sequence.computed = None, 0
        self.waiting.appendleft(sequence)
        self.counts.preemptions += 1

    def _release(self, sequence: Sequence) -> None:
        self._order.remove(sequence)
        self._remember(sequence)

    def _remember(self, sequence: Sequence) -> None:
        """Keep the whole blocks of what is computed; they are copied before the next step."""
        blocks = sequence.computed // BLOCK
        if blocks and sequence.slot is not None and self.prefix.places:
            self._unsaved.append((sequence.slot, sequence.tokens[: blocks * BLOCK], blocks))

    def _save(self) -> tuple[Save, ...]:
        saves = []
        for slot, tokens, blocks in self._unsaved:
            new = self.prefix.keep(tokens, blocks)
            if new:
                saves.append(Save(slot, tuple(new)))
        self._unsaved.clear()
        return tuple(saves)

    def _has_room(self) -> bool:
        """Whether the head of the queue can be given a slot, in whichever layout that takes."""
        layout = self._layout_for((*self._order, self.waiting[0]))
        return len(self._order) < layout.slots

    def _admit(self) -> tuple[Sequence, ...]:
        """Slots for the head of the queue, as long as the rectangle has room. None overtakes."""
        admitted = []
        while self.waiting:
            if not self._has_room():
                break
            sequence = self.waiting.popleft()
            self._order.append(sequence)
            admitted.append(sequence)
        taken = {sequence.slot for sequence in self._order}
        free = (slot for slot in range(self.limits.layouts[0].slots) if slot not in taken)
        for sequence in admitted:
            sequence.slot = next(free)
        return tuple(admitted)

    def _arrange(self, width: int) -> tuple[Layout | None, tuple[int, ...]]:
        """The layout of this step when it changes, and the old slot of each of its slots.

        It is shortened only when a quarter would do, since each change copies the cache, or when
        its slots would not suffice. With nobody in it that is left to `rest`.
        """
        wanted = self._layout_for(self._order, width - 1)
        now = self.layout
        enough = wanted.length <= now.length and len(self._order) <= now.slots
        if enough and (wanted.length * 4 > now.length or not self._order):
            wanted = now
        source = move_slots(self._order, now, wanted)
        if wanted == now:
            return None, ()
        self.layout = wanted
        return wanted, source

    def _cut_prompts(self, budget: int) -> tuple[tuple[Load, ...], tuple[Chunk, ...]]:
        """Chunks of unfinished prompts, the oldest first, and what they need not compute."""
        loads, chunks = [], []
        begun: set[tuple[int, ...]] = set()
        for sequence in self._order:
            if sequence.decoding:
                continue
            beginning = tuple(sequence.tokens[:BLOCK])
            # When another is at the same beginning, it pays to wait until that is kept.
            twin = len(sequence.tokens) > BLOCK and beginning in begun and self.prefix.places
            if (chunks and budget < self.limits.chunk_sizes[0]) or (not sequence.computed and twin):
                break
            begun.add(beginning)
            load = None if sequence.computed else self._find(sequence)
            if load is not None:
                loads.append(load)
            size = self._fitting(sequence, budget)
            start = sequence.computed
            tokens = tuple(sequence.tokens[start : start + size])
            chunks.append(Chunk(sequence, start, tokens, size))
            budget -= size
        return tuple(loads), tuple(chunks)

    def _find(self, sequence: Sequence) -> Load | None:
        """Begin with what is kept of its prompt; the last token is always computed."""
        if not sequence.use_prefix:
            return None
        places = self.prefix.find(sequence.tokens, (len(sequence.tokens) - 1) // BLOCK)
        sequence.computed = len(places) * BLOCK
        if not sequence.generated_count:
            sequence.cached = sequence.computed
            self.counts.prefix_queries += len(sequence.prompt)
            self.counts.prefix_hits += sequence.computed
        return Load(sequence, places) if places else None

    def _fitting(self, sequence: Sequence, budget: int) -> int:
        """The best chunk size within the budget and the length that the sequence needs."""
        left = len(sequence.tokens) - sequence.computed
        room = self._layout_for((sequence,)).length - sequence.computed
        sizes = [size for size in self.limits.chunk_sizes if size <= min(budget, room)]
        size = pick_size(sizes, left)
        # Mostly padding: a smaller chunk and the rest in the next step are computed sooner.
        return size if left * 2 > size or size == sizes[0] else sizes[sizes.index(size) - 1]

    def _may_draft(self, decoding: list[Sequence]) -> bool:
        """Guesses pay with few rows, must fit the rectangle, and are made for all rows or none."""
        count = self.limits.draft_width - 1
        if not 0 < len(decoding) <= self.limits.draft_rows or not count:
            return False
        longest = max(sequence.needed for sequence in self._order) + count
        room = len(self._order) <= self._layout_for(self._order, count).slots
        everyone = all(sequence.lookup is not None for sequence in decoding)
        return everyone and room and longest <= self.limits.context

    def _draft(self, sequence: Sequence) -> tuple[int, ...]:
        """A guess of what follows, within the answer's limit."""
        if sequence.lookup is None:
            return ()
        left = sequence.max_tokens - sequence.generated_count - 1
        return sequence.lookup.propose(self.limits.draft_width - 1)[: max(left, 0)]

    # --- what came of it --------------------------------------------------------------------

    def postprocess(
        self, step: Step, firsts: Many[int | None], rows: Many[Many[int]]
    ) -> list[tuple[Sequence, list[int]]]:
        """Take the step's tokens: one per chunk (None unless it was its last), some per row.

        A row's tokens are those that the model chose after each token of its draft: they count
        up to and with the first that the draft had wrong. As each is chosen by the model's own
        distribution given what stands before it, the answer is what it would be without drafts.

        Returns (sequence, new tokens) where there are any; a sequence that was ended while the
        step ran gets nothing.
        """
        gained: list[tuple[Sequence, list[int]]] = []
        for chunk, first in zip(step.chunks, firsts, strict=True):
            sequence = chunk.sequence
            if sequence.finish_reason is not None:
                continue
            sequence.computed += len(chunk.tokens)
            if chunk.last:
                if first is None:
                    raise ValueError("the last chunk of a prompt gives a token")
                self._remember(sequence)
                gained.append((sequence, self._append(sequence, [first])))
        for row, chosen in zip(step.rows, rows, strict=True):
            if row.sequence.finish_reason is None:
                gained.append((row.sequence, self._append(row.sequence, self._accept(row, chosen))))
        return gained

    def _accept(self, row: Row, chosen: Many[int]) -> list[int]:
        right = 0
        while right < len(row.draft) and row.draft[right] == chosen[right]:
            right += 1
        if row.sequence.lookup is not None:
            row.sequence.lookup.learn(len(row.draft), right)
        self.counts.drafted += len(row.draft)
        self.counts.accepted += right
        return list(chosen[: right + 1])

    def _append(self, sequence: Sequence, tokens: list[int]) -> list[int]:
        """Append what counts of `tokens`; the first of them was computed from the newest token."""
        for number, token in enumerate(tokens, 1):
            if sequence.decoding:
                sequence.computed += 1
            sequence.push(token)
            if token in sequence.stop_tokens:
                self.finish(sequence, "stop")
            elif self._at_limit(sequence):
                self.finish(sequence, "length")
            if sequence.finish_reason is not None:
                return tokens[:number]
        return tokens

    def _at_limit(self, sequence: Sequence) -> bool:
        full = len(sequence.tokens) >= self.limits.context
        return full or sequence.generated_count >= sequence.max_tokens
