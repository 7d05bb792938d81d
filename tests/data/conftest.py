"""One Spark session for the tests of a process, on this machine and its loopback only."""

from __future__ import annotations

import os
import shutil
import sys
import warnings

import pytest

#: Small data: the interpreter beats what is compiled for it, and one partition beats two.
_SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.driver.host": "127.0.0.1",
    "spark.log.level": "ERROR",
    "spark.pyspark.python": sys.executable,
    # A calendar that is neither UTC's nor that of any zone the tests ask for in winter and summer.
    "spark.sql.session.timeZone": "America/New_York",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """A session whose files are all in a temporary folder, and whose time zone is far from UTC."""
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        reason = "Spark needs Java, which is neither on the path nor at JAVA_HOME"
        if os.environ.get("TOUCHPOINT_REQUIRE_SPARK") == "1":
            pytest.fail(f"{reason}, and TOUCHPOINT_REQUIRE_SPARK=1")
        pytest.skip(reason)
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    builder = SparkSession.builder.master("local[2]").appName("touchpoint_lib tests")
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    builder = builder.config("spark.sql.warehouse.dir", str(folder / "warehouse"))
    builder = builder.config("spark.local.dir", str(folder / "local"))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        warnings.filterwarnings(
            "ignore", "PySpark does not yet fully support pandas", FutureWarning
        )
        session = builder.getOrCreate()
    yield session
    session.stop()
