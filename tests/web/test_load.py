"""The server under load, and killed in the middle of it: a small run of benchmarks/serve.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "serve.py"


@pytest.mark.slow
@pytest.mark.timeout(900)  # all accepted jobs are waited for, however slow the machine is
def test_fifty_clients_at_once_and_a_kill():
    words = ["--clients", "50", "--seconds", "15", "--max-memory", "1500"]
    program = [sys.executable, str(BENCHMARK), *words]
    few = {**os.environ, "WIDESR_MAX_QUEUE": "40"}  # of which the last are waited for
    done = subprocess.run(program, env=few, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout.partition("\n")[2])
    assert facts["accepted"] == facts["ended"]["done"] > 0
    assert {"202", "429"} <= set(facts["answers"]) <= {"200", "202", "429", "503"}
    assert max(facts["peak_mib"]) <= facts["max_memory_mib"]
