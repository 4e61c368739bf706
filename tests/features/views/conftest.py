"""One session of Spark for all tests of the views: it takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from features.base.errors import BadConfiguration
from features.config.views_file import SparkSettings
from features.views.spark import Spark, open_spark, refuse_without_spark


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    try:
        refuse_without_spark()
    except BadConfiguration as error:
        pytest.skip(f"Spark cannot run here: {error.first.message}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")  # starts sooner, computes the same
        settings = SparkSettings(master="local[2]", memory="1g")
        with open_spark(settings, folder=tmp_path_factory.mktemp("spark")) as session:
            yield session
