"""The guides name everything that there is."""

import re
from pathlib import Path

import pytest

from tfdistill import losses, schedules

NO_KEY = ("DistillationLoss", "ResponseLoss", "RankingLoss", "RankingContext", "RepresentationLoss")
DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", [name for name in losses.__all__ if name[0].isupper()])
def test_every_loss_is_in_the_guide_under_its_recipe_key(name):
    text = "".join((DOCS / page).read_text(encoding="utf-8") for page in ("losses.md", "ranking_losses.md"))
    key = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    assert f"`{name}`" in text or f"losses.{name}" in text
    assert name in NO_KEY or f"`{key}`" in text


@pytest.mark.parametrize("name", [name for name in schedules.__all__ if name[0].isupper()])
def test_every_schedule_is_in_its_guide(name):
    assert f"{name}" in (DOCS / "schedules.md").read_text(encoding="utf-8")


def test_links_between_the_guides_lead_somewhere():
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
