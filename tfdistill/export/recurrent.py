"""Recurrent layers in a form that converts to TFLite at any batch size."""

import contextlib

import keras


@contextlib.contextmanager
def unrolled(model):
    """While the context lasts, recurrent layers run step after step instead of in a loop.

    A loop over a batch of unknown size does not convert: TFLite wants to know the shape of what the loop collects. The
    number of time steps has to be known.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]
    before = [layer.unroll for layer in layers]
    try:
        for layer in layers:
            layer.unroll = True
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.unroll = was
