"""Interaction data: read or generate, encode, split, sample unrated pairs, batch. And images with their classes.

>>> from tfdistill import data
>>> interactions = data.synthetic(seed=1)
>>> dataset = data.encode(interactions, data.split(interactions, seed=1))
>>> inputs, labels = dataset.inputs(dataset.rows("test")), dataset.label[dataset.rows("test")]
"""

from tfdistill.data.batches import iterate, pair_expander, train_batches
from tfdistill.data.dataset import Dataset
from tfdistill.data.encode import encode
from tfdistill.data.exposure import ExposureSet
from tfdistill.data.fields import Field
from tfdistill.data.images import ImageDataset, image_expander, split_images
from tfdistill.data.interactions import FeatureSpec, Interactions
from tfdistill.data.mnist import mnist
from tfdistill.data.movielens import movielens_1m
from tfdistill.data.split import split
from tfdistill.data.synthetic import synthetic
from tfdistill.data.table import read_table
from tfdistill.data.transfer import mix_transfer_set
from tfdistill.data.unrated import sample_unrated

__all__ = [
    "Dataset",
    "ExposureSet",
    "FeatureSpec",
    "Field",
    "ImageDataset",
    "Interactions",
    "encode",
    "image_expander",
    "iterate",
    "mix_transfer_set",
    "mnist",
    "movielens_1m",
    "pair_expander",
    "read_table",
    "sample_unrated",
    "split",
    "split_images",
    "synthetic",
    "train_batches",
]
