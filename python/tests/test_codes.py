from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

from trustwarden import DeniedError, TrustWardenError
from trustwarden.errors import fail, is_error_code

SCRIPT = Path(__file__).resolve().parents[1] / "scripts/write_codes.py"


def test_the_codes_are_those_of_the_table_in_core() -> None:
    subprocess.run([sys.executable, str(SCRIPT), "--check"], check=True)


def test_an_error_keeps_its_code_and_details_across_processes() -> None:
    error = fail("scope_not_subset", {"counterexample": "delete:transactions"})
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, TrustWardenError)
    assert (again.code, again.counterexample, again.status) == ("scope_not_subset", "delete:transactions", 403)


def test_a_denial_has_a_class_of_its_own_and_says_why() -> None:
    error = fail("denied", {"reasons": ["policy"]})
    assert isinstance(error, DeniedError)
    assert error.reasons == ("policy",)
    assert not isinstance(fail("lease_expired"), DeniedError)


def test_what_is_no_code_is_no_code() -> None:
    assert is_error_code("denied")
    assert not is_error_code("constructor")
    assert not is_error_code(7)
