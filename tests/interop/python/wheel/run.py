"""Runs every scenario of our Python package and prints one JSON line per outcome, as `python/run.py` does.

Standard input holds the job: url, api, ca_file, username, password, secret_key.
"""

import asyncio
import json
import sys
import traceback

from scenarios import SCENARIOS
from world import World

#: No scenario takes longer, seconds: one that hangs says where.
PATIENCE = 120


async def main():
    job = json.load(sys.stdin)
    for scenario in SCENARIOS:
        world, error = World(job, scenario.__name__), None
        try:
            await asyncio.wait_for(scenario(world), PATIENCE)
        except Exception:  # The report carries it.
            error = traceback.format_exc()
        line = {"scenario": scenario.__name__, "version": "5", "error": error, "note": world.note}
        print(json.dumps(line), flush=True)


asyncio.run(main())
