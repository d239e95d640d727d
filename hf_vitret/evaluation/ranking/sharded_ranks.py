"""`ShardedRanks`: ranks of the positives in a gallery that no process holds as a whole and that arrives in shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.ranked_block import PositiveRanks, query_blocks, to_ranks
from hf_vitret.evaluation.ranking.tiles import Tiles, check_tile_size
from hf_vitret.evaluation.ranking.wanted_ranks import Wanted
from hf_vitret.search.exact_codes import Identifiers, exact_codes, paired_ids
from hf_vitret.search.inner_products import check_embeddings, check_same_dim

# Number of thresholds of a round, as float32 and an int64 count: 16M of them are 192 MB. Stanford Online Products has
# 0.4M, so that one round is usual.
_MAX_ROUND_THRESHOLDS = 16_000_000


class ShardedRanks:
    """The ranks of the positives of some queries, in a gallery that arrives in shards.

    The ranks are those of `positive_ranks`, whatever the shards, because scores close to a threshold are computed
    exactly. A round takes two passes over the gallery, the first for the scores of the positives, the second for the
    negatives above them. There are several rounds if classes are so large that the thresholds of all queries do not fit
    in memory (`num_rounds`). The queries, one shard and a bounded number of scores and thresholds are in memory at a
    time.

    Args:
        embeddings: `(num_queries, dim)` float, the embeddings of the queries; there may be none.
        labels: `(num_queries,)` integers or strings, the class of each query.
        gallery_labels: `(num_gallery,)`, of the same kind, the classes of the whole gallery.
        query_ids: `(num_queries,)` integers, strings or tuples. A gallery item with the id of the query is left out of
            its list.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Both or neither.
        every_rank: Resolve all ranks, also those at or beyond R, the number of positives.
        best_only: Resolve only the rank of the best positive.
        cutoffs: The rank of a best positive at or beyond the last of these, and beyond R, may be left unresolved.
            `None` resolves it.
        tile_size: Rows and columns of a tile of scores, a positive multiple of 8. `None` takes what suits the device.

    Attributes:
        num_rounds: Number of rounds, of two passes over the gallery each; 0 without queries.

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are floats.
        ValueError: Shapes do not match, an embedding is NaN or infinite, ids come without their counterpart, or
            arguments contradict each other.

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
                f"labels must have one label for each of the {num_queries} embeddings, got {len(codes[0])}. Pass the "
                "labels of these embeddings."
            )
        ids = paired_ids(query_ids, gallery_ids, num_queries, len(codes[1]), device)
        self._wanted, self._tile_size = Wanted(every_rank, best_only, cutoffs), check_tile_size(tile_size, device)

        classes = torch.unique(torch.cat(codes), return_inverse=True)[1]
        query_classes, self._gallery_classes = classes[:num_queries], classes[num_queries:]
        num_classes = int(classes.max()) + 1 if len(classes) else 0
        self._sizes = self._gallery_classes.bincount(minlength=num_classes)
        # The order in which ClassOrder sorts them, so that it keeps their positions with every shard.
        self._order = self._sizes.argsort(stable=True).argsort()[query_classes].argsort(stable=True)
        self._queries = embeddings[self._order].float()
        self._query_classes = query_classes[self._order]
        self._ids = None if ids is None else (ids[0][self._order], ids[1])
        self._rounds = self._plan()
        self.num_rounds = len(self._rounds)

    def _plan(self) -> list[list[tuple[int, int, int]]]:
        """Divide the queries into blocks (start, stop, thresholds of a query), and the blocks into rounds."""
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
        """Yield the ranks of the positives, a block of queries at a time.

        Args:
            gallery_shards: A function that returns a new iterator over the whole gallery: consecutive rows `(num_rows,
                dim)` float, on any device. A shard may be empty.
            num_rounds: Number of rounds to run, at least `self.num_rounds`, which is the default. If the shards come
                from a collective operation, every process must run as many rounds as the one with the most; in the
                extra rounds it only takes the shards.

        Yields:
            Blocks that cover every query once, ordered by class size; see `positive_ranks`.

        Raises:
            ValueError: A shard is NaN or infinite or has another dim, or the shards do not have as many rows as
                `gallery_labels`.
        """
        for number in range(self.num_rounds if num_rounds is None else num_rounds):
            plan = self._rounds[number] if number < self.num_rounds else []
            blocks = [_Block(*block, self._queries.device) for block in plan]
            for order in self._sorted_with_shards(gallery_shards, is_idle=not blocks):
                for block in blocks:
                    block.add_positives(order, self._wanted.tolerance)
            counts = [self._wanted.begin_counts(*block.positives(self._wanted)) for block in blocks]
            for order in self._sorted_with_shards(gallery_shards, is_idle=not blocks):
                tiles = Tiles(order, self._tile_size**2)
                for block, own in zip(blocks, counts, strict=True):
                    tiles.count_gallery((block.start, block.stop), own)
            for block, own in zip(blocks, counts, strict=True):
                yield to_ranks(self._order[block.start : block.stop], own, block.num_positives)

    def _sorted_with_shards(
        self, gallery_shards: Callable[[], Iterator[torch.Tensor]], *, is_idle: bool
    ) -> Iterator[ClassOrder]:
        """Yield the queries sorted together with each shard; with `is_idle`, only take the shards."""
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
                "Return a new iterator over the whole gallery at each call."
            )


class _Block:
    """The scores of the positives of consecutive queries, collected shard by shard."""

    def __init__(self, start: int, stop: int, width: int, device: torch.device) -> None:
        self.start, self.stop = start, stop
        self._scores = torch.full((stop - start, width), -torch.inf, device=device)
        self.num_positives = torch.zeros(stop - start, dtype=torch.int64, device=device)

    def add_positives(self, order: ClassOrder, tolerance: float) -> None:
        """Append the scores of the positives in one shard to those of each query."""
        scores, num_found = order.positive_scores(self.start, self.stop, tolerance)
        is_found = scores > -torch.inf  # (block, width in this shard)
        columns = self.num_positives.unsqueeze(1) + is_found.cumsum(dim=1) - 1
        rows = is_found.nonzero()[:, 0]
        self._scores[rows, columns[is_found]] = scores[is_found]
        self.num_positives += num_found

    def positives(self, wanted: Wanted) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the thresholds of the positives of all shards, and their numbers."""
        return wanted.thresholds(self._scores), self.num_positives
