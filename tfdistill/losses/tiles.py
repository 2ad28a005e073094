"""Rows sorted by group into tiles of one size, each tile of one group: products by group with static shapes."""

from keras import ops

# Half a tile a group is wasted on the average; smaller tiles make matrix products slower.
TILE = 64


def take_rows(array, rows):
    """`array[rows]` of an array [n, ...]. Its gradient is dense: sparse rows XLA cannot bring out of a branch."""
    # The gradient of a reshape is dense.
    return ops.take(ops.reshape(array, (-1, *array.shape[1:])), rows, axis=0)


class Tiles:
    """Where the rows of groups lie when each group begins a new tile.

    There are `n // TILE + groups` tiles, as many as are ever needed, so that shapes depend on the number of rows alone.

    Args:
        groups: int32 [n], the group of every row; rows of groups outside 0 to `count` - 1 are left out.
        count: how many groups there are.

    Attributes:
        group: int32 [tiles], the group that each tile belongs to.

    >>> tiles = Tiles(ops.array([1, 0, 1]), 2)
    >>> tiles.group.numpy().tolist()
    [0, 1]
    """

    def __init__(self, groups, count):
        rows = ops.shape(groups)[0]
        member = ops.cast(ops.expand_dims(groups, 1) == ops.arange(count, dtype=groups.dtype), "int32")
        sizes = ops.sum(member, axis=0)
        tiles = (sizes + (TILE - 1)) // TILE
        ends = ops.cumsum(tiles)
        starts = (ends - tiles) * TILE
        # The place of a row among those of its group, plus where that group begins.
        places = ops.sum(member * (ops.cumsum(member, axis=0) - 1 + starts), axis=1)
        self._slots = (rows // TILE + count) * TILE
        self._is_member = ops.sum(member, axis=1) > 0
        # Rows that are left out go to a slot beyond the last, which is cut off.
        self._places = ops.where(self._is_member, places, self._slots)
        numbers = ops.arange(rows // TILE + count)
        group = ops.sum(ops.cast(ops.expand_dims(numbers, 1) >= ops.cast(ends, numbers.dtype), "int32"), axis=1)
        self.group = ops.minimum(group, count - 1)

    def gather(self, vectors, rows=None):
        """Vectors [n, d] in tiles [tiles, TILE, d], zeros in places without a row.

        Args:
            vectors: [m, d].
            rows: int [n], the vector of each row; `None` where they are the rows themselves.
        """
        count = ops.shape(self._places)[0]
        rows = ops.arange(count) if rows is None else rows
        # Slot -> row + 1, with 0 where there is none: whole numbers are scattered, which have no gradient.
        source = ops.scatter(ops.expand_dims(self._places, 1), ops.cast(rows, "int32") + 1, (self._slots + 1,))[:-1]
        gathered = take_rows(vectors, ops.maximum(source - 1, 0))
        gathered *= ops.cast(ops.expand_dims(source > 0, 1), gathered.dtype)
        return ops.reshape(gathered, (-1, TILE, vectors.shape[-1]))

    def scatter_back(self, tiled):
        """Rows [n, d] of what is in tiles [tiles, TILE, d]; zeros for rows that were left out."""
        flat = ops.reshape(tiled, (-1, tiled.shape[-1]))
        rows = take_rows(flat, ops.minimum(self._places, self._slots - 1))
        return rows * ops.cast(ops.expand_dims(self._is_member, 1), rows.dtype)

    def squared_products(self, one, other, count):
        """`Σ_g ||Σ_{i in g} one_i other_iᵀ||²` over groups of vectors [n, a] and [n, b]: a float32 scalar."""
        products = ops.matmul(ops.transpose(self.gather(one), (0, 2, 1)), self.gather(other))
        flat = ops.reshape(products, (-1, one.shape[-1] * other.shape[-1]))
        return ops.sum(ops.square(ops.segment_sum(flat, self.group, num_segments=count)))
