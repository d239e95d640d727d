"""Ranks of every query's right items in a gallery that nobody holds as a whole: it visits, a shard at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.ranked_block import PositiveRanks, query_blocks, to_ranks
from hf_vitret.evaluation.ranking.tiles import Tiles, check_tile_size
from hf_vitret.evaluation.ranking.wanted_ranks import Wanted
from hf_vitret.search.exact_codes import Identifiers, exact_codes, paired_ids
from hf_vitret.search.inner_products import check_embeddings, check_same_dim

# Thresholds of a round, as float32 and an int64 count: 16M of them are 192 MB. Stanford Online Products has 0.4M, so
# that one round is the rule.
_MAX_ROUND_THRESHOLDS = 16_000_000


class ShardedRanks:
    """The ranks of the positives of some queries, in a gallery that arrives in shards.

    The ranks are those of `positive_ranks`, whatever the shards: scores that decide are exact. The gallery is walked
    twice, first for the scores of the positives, then for the wrong items above them; more than once so where classes
    are so large that the thresholds of all queries do not fit in memory (`num_rounds`). Held at a time are the
    queries, one shard and a bounded number of scores and thresholds.

    Args:
        embeddings: `(num_queries, dim)` float, the queries; there may be none.
        labels: `(num_queries,)` integers or strings.
        gallery_labels: `(num_gallery,)`, of the same kind, of the whole gallery.
        query_ids: `(num_queries,)`; a gallery item with the id of the query is neither right nor wrong, but absent.
        gallery_ids: `(num_gallery,)`. Both or neither.
        every_rank: Resolve all the ranks, also those at or beyond R.
        best_only: Resolve the best positive's rank and no other.
        cutoffs: A best positive at or beyond the last of these, and beyond R, may be left unresolved. None: resolve it.
        tile_size: Rows and columns of a tile of scores, a positive multiple of 8. None: what suits the device.

    Attributes:
        num_rounds: How often the gallery is walked twice; 0 without queries.

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are.
        ValueError: Shapes do not match, an embedding is not finite, or arguments that belong together do not come so.

    Example:
        >>> rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> ranks = ShardedRanks(rows[:1], ["mug"], ["mug", "cup", "cup", "mug"], query_ids=[0], gallery_ids=range(4))
        >>> [block] = ranks.blocks(lambda: iter([rows[:3], rows[3:]]))
        >>> block.ranks[:, :1]  # the other mug comes after the first cup
        tensor([[1]])
    """

    @torch.no_grad()
    def __init__(
        self,
        embeddings: torch.Tensor,
        labels: Identifiers,
        gallery_labels: Identifiers,
        *,
        query_ids: Identifiers | None = None,
        gallery_ids: Identifiers | None = None,
        every_rank: bool = False,
        best_only: bool = False,
        cutoffs: Sequence[int] | None = None,
        tile_size: int | None = None,
    ) -> None:
        if len(embeddings):
            check_embeddings(embeddings, "embeddings")
        device, num_queries = embeddings.device, len(embeddings)
        codes = exact_codes(labels, gallery_labels, name="labels", device=device)
        if len(codes[0]) != num_queries:
            raise ValueError(
                f"labels must have one label for each of the {num_queries} embeddings, got {len(codes[0])}."
            )
        ids = paired_ids(query_ids, gallery_ids, num_queries, len(codes[1]), device)
        self._wanted, self._tile_size = Wanted(every_rank, best_only, cutoffs), check_tile_size(tile_size, device)

        classes = torch.unique(torch.cat(codes), return_inverse=True)[1]
        query_classes, self._gallery_classes = classes[:num_queries], classes[num_queries:]
        num_classes = int(classes.max()) + 1 if len(classes) else 0
        self._sizes = self._gallery_classes.bincount(minlength=num_classes)
        # As ClassOrder sorts them: with every shard, the queries then stand where they stood.
        self._order = self._sizes.argsort(stable=True).argsort()[query_classes].argsort(stable=True)
        self._queries = embeddings[self._order].float()
        self._query_classes = query_classes[self._order]
        self._ids = None if ids is None else (ids[0][self._order], ids[1])
        self._rounds = self._plan()
        self.num_rounds = len(self._rounds)

    def _plan(self) -> list[list[tuple[int, int, int]]]:
        """Cut the queries into blocks (start, stop, thresholds of a query), and the blocks into rounds."""
        widths: list[int] = self._sizes[self._query_classes].clamp(min=1).tolist()  # ascending
        rounds: list[list[tuple[int, int, int]]] = []
        num_thresholds = 0
        for start, stop in query_blocks(len(widths), self._tile_size, lambda _, stop: widths[stop - 1]):
            size = (stop - start) * widths[stop - 1]
            if not rounds or num_thresholds + size > _MAX_ROUND_THRESHOLDS:
                rounds.append([])
                num_thresholds = 0
            rounds[-1].append((start, stop, widths[stop - 1]))
            num_thresholds += size
        return rounds

    @torch.no_grad()
    def blocks(
        self, gallery_shards: Callable[[], Iterator[torch.Tensor]], num_rounds: int | None = None
    ) -> Iterator[PositiveRanks]:
        """Yield the ranks, a block of queries at a time; see `positive_ranks`.

        Args:
            gallery_shards: Each call walks the gallery anew: consecutive rows `(num_rows, dim)` float, on any device;
                a shard may be empty.
            num_rounds: Walk the gallery twice that often, at least `self.num_rounds`: where shards come by a
                collective, every process must walk as often as the one with the most rounds.

        Raises:
            ValueError: A shard is not finite or of another dim, or the shards are not as many rows as
                `gallery_labels`.
        """
        for number in range(self.num_rounds if num_rounds is None else num_rounds):
            plan = self._rounds[number] if number < self.num_rounds else []
            blocks = [_Block(*block, self._queries.device) for block in plan]
            for order in self._walk(gallery_shards, is_idle=not blocks):
                for block in blocks:
                    block.add_positives(order, self._wanted.tolerance)
            counts = [self._wanted.begin_counts(*block.positives(self._wanted)) for block in blocks]
            for order in self._walk(gallery_shards, is_idle=not blocks):
                tiles = Tiles(order, self._tile_size**2)
                for block, own in zip(blocks, counts, strict=True):
                    tiles.count_gallery((block.start, block.stop), own)
            for block, own in zip(blocks, counts, strict=True):
                yield to_ranks(self._order[block.start : block.stop], own, block.num_positives)

    def _walk(self, gallery_shards: Callable[[], Iterator[torch.Tensor]], *, is_idle: bool) -> Iterator[ClassOrder]:
        """Sort the queries with one shard after another; an idle walk only takes the shards."""
        num_gallery, start = len(self._gallery_classes), 0
        for shard in gallery_shards():
            stop = start + len(shard)
            if len(shard) and stop <= num_gallery and not is_idle:
                check_embeddings(shard, "gallery_shards")
                check_same_dim(self._queries, shard)
                yield ClassOrder(
                    self._queries,
                    self._query_classes,
                    shard,
                    self._gallery_classes[start:stop],
                    self._ids and (self._ids[0], self._ids[1][start:stop]),
                    self._sizes,
                )
            start = stop
        if start != num_gallery:
            raise ValueError(
                f"gallery_shards must bring one row for each of the {num_gallery} gallery labels, got {start} rows. "
                "Each call must walk the whole gallery anew."
            )


class _Block:
    """The scores of the positives of consecutive queries, gathered shard by shard."""

    def __init__(self, start: int, stop: int, width: int, device: torch.device) -> None:
        self.start, self.stop = start, stop
        self._scores = torch.full((stop - start, width), -torch.inf, device=device)
        self.num_positives = torch.zeros(stop - start, dtype=torch.int64, device=device)

    def add_positives(self, order: ClassOrder, tolerance: float) -> None:
        """Append the scores of the positives in one shard to those of each query."""
        scores, num_found = order.positive_scores(self.start, self.stop, tolerance)
        is_found = scores > -torch.inf  # (block, width in this shard)
        places = self.num_positives.unsqueeze(1) + is_found.cumsum(dim=1) - 1
        rows = is_found.nonzero()[:, 0]
        self._scores[rows, places[is_found]] = scores[is_found]
        self.num_positives += num_found

    def positives(self, wanted: Wanted) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the thresholds of the positives of all shards, and their numbers."""
        return wanted.thresholds(self._scores), self.num_positives
