"""Everything the OpenAPI document allows, and much that it does not, asked by schemathesis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from serving import Server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_schemathesis_finds_nothing(service: Server, tmp_path: Path) -> None:
    """No server error, no undocumented status or content type, no answer that its schema does not allow."""
    program = Path(sys.executable).with_name("schemathesis")
    options = ["--phases", "examples,coverage,fuzzing", "--max-examples", "12", "--seed", "1", "--no-color"]
    done = subprocess.run(
        [program, "run", f"{service.url}/openapi.json", "--url", service.url, "--checks", CHECKS, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
