"""A small model around every layer class of Keras that has weights, made alike with Keras 3 and with tf_keras."""

import numpy as np

ROWS = 16


def sequence(length=6, width=16):
    return (length, width)


def image(size=8, channels=8):
    return (size, size, channels)


def stack(shape, make, dtype="float32"):
    """A sample: inputs of a shape, and the layer on them."""

    def model(k):
        inputs = k.Input(shape, dtype=dtype, name="x")
        return k.Model(inputs, make(k)(inputs))

    return model


def ids(make):
    def model(k):
        inputs = k.Input((6,), dtype="int32", name="x")
        return k.Model(inputs, make(k)(inputs))

    return model


def attending(make, **call):
    """A sample whose layer takes queries and values; both are the input."""

    def model(k):
        inputs = k.Input(sequence(), name="x")
        return k.Model(inputs, make(k)(inputs, inputs, **call))

    return model


def attending_list(make):
    def model(k):
        inputs = k.Input(sequence(), name="x")
        return k.Model(inputs, make(k)([inputs, inputs]))

    return model


# {class name: model made with a module `k` of Keras}; kernels of 1,024 elements and more, which files store as int8.
SAMPLES = {
    "AdditiveAttention": attending_list(lambda k: k.layers.AdditiveAttention()),
    "Attention": attending_list(lambda k: k.layers.Attention(use_scale=True)),
    "BatchNormalization": stack(image(), lambda k: k.layers.BatchNormalization()),
    "Bidirectional": stack(sequence(), lambda k: k.layers.Bidirectional(k.layers.LSTM(16))),
    "Conv1D": stack(sequence(8, 32), lambda k: k.layers.Conv1D(16, 3)),
    "Conv1DTranspose": stack(sequence(8, 32), lambda k: k.layers.Conv1DTranspose(16, 3)),
    "Conv2D": stack(image(8, 16), lambda k: k.layers.Conv2D(16, 3)),
    "Conv2DTranspose": stack(image(8, 16), lambda k: k.layers.Conv2DTranspose(16, 3)),
    "Conv3D": stack((4, 4, 4, 8), lambda k: k.layers.Conv3D(8, 3)),
    "Conv3DTranspose": stack((4, 4, 4, 8), lambda k: k.layers.Conv3DTranspose(8, 3)),
    "ConvLSTM1D": stack((3, 8, 8), lambda k: k.layers.ConvLSTM1D(16, 3)),
    "ConvLSTM2D": stack((3, 6, 6, 4), lambda k: k.layers.ConvLSTM2D(8, 3)),
    "ConvLSTM3D": stack((2, 4, 4, 4, 2), lambda k: k.layers.ConvLSTM3D(4, 3)),
    "Dense": stack((64,), lambda k: k.layers.Dense(32)),
    "DepthwiseConv1D": stack(sequence(8, 256), lambda k: k.layers.DepthwiseConv1D(5)),
    "DepthwiseConv2D": stack(image(8, 128), lambda k: k.layers.DepthwiseConv2D(3)),
    "EinsumDense": stack(sequence(6, 32), lambda k: k.layers.EinsumDense("abc,cd->abd", (None, 32), bias_axes="d")),
    "Embedding": ids(lambda k: k.layers.Embedding(200, 16)),
    "GRU": stack(sequence(), lambda k: k.layers.GRU(32)),
    "GRUCell": stack(sequence(), lambda k: k.layers.RNN(k.layers.GRUCell(32))),
    "GroupedQueryAttention": attending(lambda k: k.layers.GroupQueryAttention(16, 4, 2)),
    "GroupNormalization": stack(image(), lambda k: k.layers.GroupNormalization(4)),
    "LSTM": stack(sequence(), lambda k: k.layers.LSTM(32)),
    "LSTMCell": stack(sequence(), lambda k: k.layers.RNN(k.layers.LSTMCell(32))),
    "LayerNormalization": stack(sequence(), lambda k: k.layers.LayerNormalization()),
    "MultiHeadAttention": attending(lambda k: k.layers.MultiHeadAttention(4, 16)),
    "Normalization": stack((16,), lambda k: k.layers.Normalization(mean=np.zeros(16), variance=np.ones(16))),
    "PReLU": stack((32, 32), lambda k: k.layers.PReLU()),
    "RMSNormalization": stack(sequence(), lambda k: k.layers.RMSNormalization()),
    "RNN": stack(sequence(), lambda k: k.layers.RNN(k.layers.SimpleRNNCell(64))),
    "ReversibleEmbedding": ids(lambda k: k.layers.ReversibleEmbedding(200, 16)),
    "SeparableConv1D": stack(sequence(8, 64), lambda k: k.layers.SeparableConv1D(64, 3)),
    "SeparableConv2D": stack(image(8, 64), lambda k: k.layers.SeparableConv2D(64, 3)),
    "SimpleRNN": stack(sequence(), lambda k: k.layers.SimpleRNN(64)),
    "SimpleRNNCell": stack(sequence(), lambda k: k.layers.RNN(k.layers.SimpleRNNCell(64))),
    "SpectralNormalization": stack((64,), lambda k: k.layers.SpectralNormalization(k.layers.Dense(32))),
    "StackedRNNCells": stack(
        sequence(), lambda k: k.layers.RNN(k.layers.StackedRNNCells([k.layers.LSTMCell(32), k.layers.GRUCell(32)]))
    ),
    "TimeDistributed": stack(sequence(6, 64), lambda k: k.layers.TimeDistributed(k.layers.Dense(32))),
}

# {class name: why it has no row}.
NO_ROW = {
    "FlaxLayer": "JAX",
    "JaxLayer": "JAX",
    "TorchModuleWrapper": "PyTorch",
    "TFSMLayer": "a SavedModel, whose variables are not Keras's",
    "Layer": "the base of all",
    "Wrapper": "the base of wrappers",
    "Lambda": "no weights of its own",
    "Pipeline": "no weights of its own",
    "MelSpectrogram": "its filters are fixed",
    "STFTSpectrogram": "its filters are fixed",
}

# Layers without weights that one trains: nothing to compress.
WITHOUT_WEIGHTS = """
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AlphaDropout AugMix AutoContrast Average
AveragePooling1D AveragePooling2D AveragePooling3D CategoryEncoding CenterCrop Concatenate
ContrastLimitedAdaptiveHistogramEqualization Cropping1D Cropping2D Cropping3D CutMix Discretization Dot Dropout ELU
Equalization Flatten GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D HashedCrossing Hashing Identity InputLayer IntegerLookup
LeakyReLU Masking MaxNumBoundingBoxes MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MixUp Multiply Permute
RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform
RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization
RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector Rescaling
Reshape Resizing Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D StringLookup Subtract
TextVectorization UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
""".split()


def inputs_of(model, seed=1):
    """Random inputs of a sample, for both Keras the same."""
    random = np.random.default_rng(seed)
    tensor = model.inputs[0]
    shape = (ROWS, *tensor.shape[1:])
    if "int" in str(tensor.dtype):
        return random.integers(0, 200, shape).astype("int32")
    return random.normal(size=shape).astype("float32")
