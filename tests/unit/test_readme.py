from __future__ import annotations

import orjson

from bench.readme import README, RESULTS, rewritten


def test_the_section_on_cost_is_what_the_results_say() -> None:
    readme = README.read_text()
    assert rewritten(readme, orjson.loads(RESULTS.read_bytes())) == readme, "run make readme"
