"""CrewAI as its tests need it: it tells nobody, asks nobody, and keeps its files to itself."""

from __future__ import annotations

import os
import tempfile

os.environ["CREWAI_DISABLE_TELEMETRY"] = "true"
os.environ["CREWAI_TRACING_ENABLED"] = "false"
os.environ["OTEL_SDK_DISABLED"] = "true"
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="trustwarden-crews-")
