"""Interaction data: read or generate, encode, split, sample, batch; clicks, choices to rank, images with classes.

>>> from tfdistill import data
>>> interactions = data.synthetic(seed=1)
>>> dataset = data.encode(interactions, data.split(interactions, seed=1))
>>> inputs, labels = dataset.inputs(dataset.rows("test")), dataset.label[dataset.rows("test")]
"""

from tfdistill.data.batches import iterate, pair_expander, train_batches
from tfdistill.data.candidates import sampled_candidates
from tfdistill.data.dataset import Dataset
from tfdistill.data.edge_list import read_edges
from tfdistill.data.encode import encode
from tfdistill.data.exposure import ExposureSet
from tfdistill.data.fields import Field
from tfdistill.data.given_split import from_split
from tfdistill.data.images import ImageDataset, image_expander, split_images
from tfdistill.data.implicit import ImplicitDataset, ItemLists
from tfdistill.data.interactions import FeatureSpec, Interactions
from tfdistill.data.mnist import mnist
from tfdistill.data.movielens import movielens_1m
from tfdistill.data.movielens_100k import movielens_100k
from tfdistill.data.movielens_csv import movielens_csv
from tfdistill.data.negatives import (
    ListedNegatives,
    PopularityNegatives,
    UniformNegatives,
    log_sampling_probability,
)
from tfdistill.data.pairwise import pairwise_batches, pairwise_columns
from tfdistill.data.popularity import popularity_groups
from tfdistill.data.positives import implicit
from tfdistill.data.sequence_file import read_sequences
from tfdistill.data.sequences import histories, next_item_batches, next_item_windows
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
    "ImplicitDataset",
    "Interactions",
    "ItemLists",
    "ListedNegatives",
    "PopularityNegatives",
    "UniformNegatives",
    "encode",
    "from_split",
    "histories",
    "image_expander",
    "implicit",
    "iterate",
    "log_sampling_probability",
    "mix_transfer_set",
    "mnist",
    "movielens_100k",
    "movielens_1m",
    "movielens_csv",
    "next_item_batches",
    "next_item_windows",
    "pair_expander",
    "pairwise_batches",
    "pairwise_columns",
    "popularity_groups",
    "read_edges",
    "read_sequences",
    "read_table",
    "sample_unrated",
    "sampled_candidates",
    "split",
    "split_images",
    "synthetic",
    "train_batches",
]
