"""Floating-point (or integer) operations for one example, counted from a graph's operators and shapes.

The convention, the same for TFLite files and TensorFlow graphs:
- a matrix product or a convolution: 2 per multiply-add, 1 per element for a bias, 1 for an activation fused into it;
- a reduction (sum, mean, maximum ...): 1 per element read;
- element-wise arithmetic, comparison, activation: 1 per element written, whatever it costs to compute;
- moving, reshaping, looking up or converting data: 0;
- a graph with loops, branches or a fused recurrent operator: None, since shapes do not tell how often they run.
"""

import math

# The operators that only move or convert data; names of TFLite and of TensorFlow side by side.
MOVES = frozenset(
    """
    RESHAPE GATHER GATHER_ND EMBEDDING_LOOKUP CONCATENATION CAST QUANTIZE DEQUANTIZE SHAPE STRIDED_SLICE SLICE PACK
    UNPACK EXPAND_DIMS SQUEEZE TRANSPOSE SPLIT SPLIT_V PAD PADV2 TILE FILL BROADCAST_TO BROADCAST_ARGS RANGE ONE_HOT
    REVERSE_V2 SPACE_TO_DEPTH DEPTH_TO_SPACE
    Reshape Gather GatherV2 GatherNd ResourceGather ConcatV2 Cast Shape StridedSlice Slice Pack Unpack ExpandDims
    Squeeze Transpose Split SplitV Pad PadV2 Tile Fill BroadcastTo BroadcastArgs Range OneHot ReverseV2 SpaceToDepth
    DepthToSpace Const Placeholder Identity IdentityN NoOp StopGradient ReadVariableOp VarHandleOp PreventGradient
    EnsureShape ZerosLike OnesLike Rank Size
    """.split()
)
REDUCTIONS = frozenset(
    """
    SUM MEAN REDUCE_MAX REDUCE_MIN REDUCE_PROD REDUCE_ANY REDUCE_ALL ARG_MAX ARG_MIN AVERAGE_POOL_2D MAX_POOL_2D
    Sum Mean Max Min Prod Any All ArgMax ArgMin AvgPool MaxPool
    """.split()
)
UNCOUNTABLE = frozenset(
    """
    WHILE IF CALL_ONCE LSTM RNN UNIDIRECTIONAL_SEQUENCE_LSTM UNIDIRECTIONAL_SEQUENCE_RNN BIDIRECTIONAL_SEQUENCE_LSTM
    BIDIRECTIONAL_SEQUENCE_RNN STABLEHLO_COMPOSITE
    While StatelessWhile If StatelessIf Case StatelessCase Einsum XlaCallModule
    """.split()
)
_PRODUCTS = frozenset(["FULLY_CONNECTED", "BATCH_MATMUL", "MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"])


def operator_flops(name, inputs, outputs, *, left_is_transposed=False, activation=False):
    """Operations of one operator.

    Args:
        name: the operator's name in TFLite ("FULLY_CONNECTED") or in TensorFlow ("MatMul").
        inputs: shapes of its inputs, in order; an absent optional input is left out.
        outputs: shapes of its outputs.
        left_is_transposed: whether a product sums over the last but one axis of its first input.
        activation: whether an activation is fused into the operator.

    Returns: a whole number, or None where shapes do not tell.

    >>> operator_flops("FULLY_CONNECTED", [(1, 56), (64, 56), (64,)], [(1, 64)])  # 2 * 56 * 64 + 64
    7232
    """
    if name in UNCOUNTABLE:
        return None
    if name in MOVES or not outputs:
        return 0
    written = math.prod(outputs[0])
    return _own_flops(name, inputs, written, left_is_transposed) + (written if activation else 0)


def _own_flops(name, inputs, written, left_is_transposed):
    if name in REDUCTIONS:
        return math.prod(inputs[0])
    if name in _PRODUCTS:
        summed = inputs[0][-2 if left_is_transposed else -1]
        return 2 * written * summed + _bias(name, inputs, written)
    if name == "CONV_2D":  # filter [out, height, width, in]
        return 2 * written * math.prod(inputs[1][1:]) + _bias(name, inputs, written)
    if name == "DEPTHWISE_CONV_2D":  # filter [1, height, width, out]
        return 2 * written * math.prod(inputs[1][1:3]) + _bias(name, inputs, written)
    if name == "Conv2D":  # filter [height, width, in, out]
        return 2 * written * math.prod(inputs[1][:3])
    if name == "DepthwiseConv2dNative":  # filter [height, width, in, multiplier]
        return 2 * written * math.prod(inputs[1][:2])
    return written


def total(counts):
    """The sum of the counts; None if one of them is None."""
    counts = list(counts)
    return None if any(count is None for count in counts) else sum(counts)


def _bias(name, inputs, written):
    return written if name.isupper() and name != "BATCH_MATMUL" and len(inputs) > 2 else 0
