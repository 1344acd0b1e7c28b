"""The data sets: what their images are, where they come from, and how a run gets them."""

from __future__ import annotations

from dataclasses import dataclass

from domcli.catalogue.entry import Entry, Kind

Channels = tuple[float, ...]

BENCHED = (3, 32, 32)
"""Channels, height and width of the images that `domcli bench` measures with."""


@dataclass(frozen=True)
class Member:
    """A file that is read: its path below the root, its MD5, and the least bytes that it can have."""

    path: str
    md5: str
    least: int


@dataclass(frozen=True)
class Download:
    """A file as it is published: where, its MD5 and its exact bytes; and what of it is read, where it is an archive."""

    url: str
    md5: str
    size: int
    members: tuple[Member, ...] = ()

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def read(self) -> tuple[Member, ...]:
        """The files that are read, below the root."""
        return self.members or (Member(self.name, self.md5, self.size),)


@dataclass(frozen=True, kw_only=True)
class Dataset(Entry):
    """A data set. Its work returns a RawDataset from the root folder, this entry and the settings of [data].

    What is None is not known before the images are read.
    """

    shape: tuple[int, int, int] | None = None
    """Channels, height and width of an image."""
    classes: int | None = None
    train: int | None = None
    """Training images."""
    test: int | None = None
    """Test images."""
    mean: Channels | None = None
    """Of each channel over the training images, in [0, 1]."""
    std: Channels | None = None
    downloads: tuple[Download, ...] = ()
    """What is fetched into the root where it is missing; empty: nothing, the images must be there."""
    package: str | None = None
    """The distribution that brings the images along, where one does."""
    folder: bool = False
    """Whether the root is a tree of somebody's own images."""

    @property
    def size(self) -> int | None:
        """Height and width of an image."""
        return None if self.shape is None else self.shape[1]

    @property
    def images(self) -> tuple[int, int] | None:
        """Training and test images, None where they are not known."""
        return None if self.train is None or self.test is None else (self.train, self.test)

    @property
    def is_benched(self) -> bool:
        """Whether its images are of the shape of those that `domcli bench` measures with."""
        return self.shape == BENCHED


CIFAR_FILE = 10_000 * 3 * 32 * 32
"""A file of the CIFARs holds its images unpacked, so it is larger than they are."""


def _batch(number: int, md5: str) -> Member:
    return Member(f"cifar-10-batches-py/data_batch_{number}", md5, CIFAR_FILE)


# Mean and standard deviation of every pixel of the training images, to four digits, as they are used throughout the
# literature: CIFAR-10 as in the DOM paper, CIFAR-100 of its 50,000 and SVHN of its 73,257 training images.
DATASETS = Kind(
    "data set",
    ("data.dataset",),
    Dataset,
    Dataset(
        name="cifar10",
        about="CIFAR-10, downloaded when it is missing",
        work="domcli.trainer.datasets.cifar:cifar10",
        shape=(3, 32, 32),
        classes=10,
        train=50_000,
        test=10_000,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2471, 0.2435, 0.2616),
        downloads=(
            Download(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                "c58f30108f718f92721af3b95e74349a",
                170_498_071,
                (
                    _batch(1, "c99cafc152244af753f735de768cd75f"),
                    _batch(2, "d4bba439e000b95fd0a9bffe97cbabec"),
                    _batch(3, "54ebc095f3ab1f0389bbae665268c751"),
                    _batch(4, "634d18415352ddfa80567beed471001a"),
                    _batch(5, "482c414d41f54cd18b22e5b47cb7c3cb"),
                    Member("cifar-10-batches-py/test_batch", "40351d587109b95175f43aff81a1287e", CIFAR_FILE),
                    Member("cifar-10-batches-py/batches.meta", "5ff9c542aee3614f3951f8cda6e48888", 1),
                ),
            ),
        ),
    ),
    Dataset(
        name="cifar100",
        about="CIFAR-100, downloaded when it is missing",
        work="domcli.trainer.datasets.cifar:cifar100",
        shape=(3, 32, 32),
        classes=100,
        train=50_000,
        test=10_000,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        downloads=(
            Download(
                "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                "eb9058c3a382ffc7106e4002c42a8d85",
                169_001_437,
                (
                    Member("cifar-100-python/train", "16019d7e3df5f24257cddd939b257f8d", 5 * CIFAR_FILE),
                    Member("cifar-100-python/test", "f0ef6b0ae62326f3e7ffdfab6717acfc", CIFAR_FILE),
                    Member("cifar-100-python/meta", "7973b15100ade9c7d40fb424638fde48", 1),
                ),
            ),
        ),
    ),
    Dataset(
        name="svhn",
        about="Street View House Numbers, downloaded when they are missing",
        work="domcli.trainer.datasets.svhn:svhn",
        shape=(3, 32, 32),
        classes=10,
        train=73_257,
        test=26_032,
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        downloads=(
            Download(
                "http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
                "e26dedcc434d2e4c54c9b2d4a06d8373",
                182_040_794,
            ),
            Download(
                "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
                "eb5a983be6a315427106f1b164d9cef3",
                64_275_384,
            ),
        ),
    ),
    Dataset(
        name="imagefolder",
        about="somebody's own images: ROOT/train/CLASS/* and ROOT/test/CLASS/* (or val)",
        work="domcli.trainer.datasets.imagefolder:imagefolder",
        folder=True,
    ),
    Dataset(
        name="digits",
        about="handwritten digits of 8 x 8 pixels that come with scikit-learn, for quick runs",
        work="domcli.trainer.datasets.digits:digits",
        shape=(1, 8, 8),
        classes=10,
        train=1442,
        test=355,
        package="scikit-learn",
    ),
)


def reads_folder(name: object) -> bool:
    """Tell whether the data set of this name is a tree of somebody's own images."""
    found = DATASETS.get(name)
    return found is not None and found.folder
