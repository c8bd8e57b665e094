"""From the settings of features to the rules by which they are profiled."""

from __future__ import annotations

from functools import cache

from consumer.settings import Settings
from sketches.profile import ProfileRules


def profile_rules_for(settings: Settings, model: str) -> ProfileRules:
    """How the features of a model are profiled; make it once per model, it remembers names.

    Args:
        settings: ``models`` of it count.
        model: Name of the model.
    """
    rule = cache(lambda name: settings.feature(model, name))  # names are bounded by limits.features
    return ProfileRules(
        kind_of=lambda name: rule(name).kind,
        is_hashed=lambda name: rule(name).hash,
        is_withheld=lambda name: rule(name).withhold_extremes,
    )
