"""The data sets of the papers, so that checks can say which part of one is missing; docs/datasets.md describes them."""

from __future__ import annotations

from typing import NamedTuple

from inpaintzoo.data.findings import Finding
from inpaintzoo.types import Split
from inpaintzoo.words import counted


class KnownSet(NamedTuple):
    """What a complete data set consists of.

    Attributes:
        title: its name in the papers.
        page: address of the page that has it.
        archives: files to get there.
        train: numbers of training pictures in the papers, the config's own first.
        test: numbers of test pictures in the papers, the config's own first.
    """

    title: str
    page: str
    archives: str
    train: tuple[int, ...]
    test: tuple[int, ...]

    @property
    def remedy(self) -> str:
        """Where its parts are."""
        return f"{self.title} consists of {self.archives} from {self.page}; see docs/datasets.md for the folder"

    def check(self, split: Split, count: int) -> Finding:
        """Compare the number of pictures of train or test with the papers'."""
        counts = self.train if split == "train" else self.test
        found = f"{split}: {counted(count, 'image')}"
        if count in counts:
            return Finding("ok", f"{found}, as many as in a paper on {self.title}")
        papers = " or ".join(f"{known:,}" for known in counts)
        return Finding("warning", f"{found}, but {papers} in the papers; {self.remedy}")


KNOWN_SETS = {
    "places2": KnownSet(
        "Places2",
        "http://places2.csail.mit.edu/download.html",
        "train_256_places365standard.tar and val_256.tar",
        (1_803_460, 1_829_960),
        (36_500, 12_000, 10_000),
    ),
    "celeba": KnownSet(
        "CelebA",
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        "img_align_celeba.zip and list_eval_partition.txt",
        (162_770,),
        (12_000, 19_962),
    ),
    "celebahq": KnownSet(
        "CelebA-HQ",
        "https://github.com/switchablenorms/CelebAMask-HQ",
        "CelebAMask-HQ.zip",
        (28_000, 27_176),
        (2_000, 2_824),
    ),
    "paris_streetview": KnownSet(
        "Paris StreetView",
        "https://github.com/pathak22/context-encoder",
        "paris_train_original and paris_eval_gt, on request",
        (14_900,),
        (100,),
    ),
    "dtd": KnownSet(
        "DTD", "https://www.robots.ox.ac.uk/~vgg/data/dtd/", "dtd-r1.0.1.tar.gz", train=(4_512,), test=(1_128,)
    ),
    "div2k": KnownSet(
        "DIV2K",
        "https://data.vision.ee.ethz.ch/cvl/DIV2K/",
        "DIV2K_train_HR.zip and DIV2K_valid_HR.zip",
        train=(800,),
        test=(100,),
    ),
    "facade": KnownSet(
        "CMP facades",
        "https://cmp.felk.cvut.cz/~tylecr1/facade/",
        "CMP_facade_DB_base.zip and CMP_facade_DB_extended.zip",
        train=(506,),
        test=(100,),
    ),
    "cityscapes": KnownSet(
        "Cityscapes",
        "https://www.cityscapes-dataset.com",
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip",
        train=(2_975,),
        test=(500,),
    ),
    "outdoor_scenes": KnownSet(
        "Outdoor Scenes",
        "https://github.com/xinntao/SFTGAN",
        "OutdoorSeg_img.zip, OutdoorSeg_anno.zip, OST300_img.zip and OST300_anno.zip",
        train=(9_900,),
        test=(300,),
    ),
}
