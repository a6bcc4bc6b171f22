"""Strategies and samples that the trace tests share."""

from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from submeter.model import (
    Activity,
    EnergySource,
    Gauges,
    GpuInfo,
    Holder,
    InstanceActivity,
    Missing,
    ProcessKey,
    Reading,
    UtilisationSample,
)
from submeter.trace.records import (
    ERROR_KINDS,
    ActivityRecord,
    EndRecord,
    ErrorRecord,
    GaugesRecord,
    GpuRecord,
    Header,
    HoldersRecord,
    InstancesRecord,
    ProcessRecord,
    ReadingRecord,
    Record,
    UtilisationRecord,
)

NATURALS = st.integers(0, 2**64 - 1)
MAYBE = st.none() | NATURALS
SIGNED = st.none() | st.integers(-300, 300)
NAMED = st.lists(st.tuples(st.text(max_size=8), NATURALS), max_size=3).map(tuple)
INFOS = st.builds(
    GpuInfo,
    uuid=st.text(max_size=12),
    index=st.integers(0, 99),
    name=st.text(max_size=12),
    driver=st.text(max_size=8),
    pci_bus_id=st.text(max_size=8),
    arch=st.text(max_size=8),
    energy_source=st.sampled_from(EnergySource),
    power_window=st.text(max_size=4),
    refresh_ns=NATURALS,
    refresh_measured=st.booleans(),
    memory_total_bytes=MAYBE,
    power_limit_max_mw=MAYBE,
    scope=st.text(max_size=6),
    mig=st.booleans(),
    missing=st.lists(st.builds(Missing, st.text(max_size=6), st.text(max_size=6)), max_size=2).map(
        tuple
    ),
)


def records_of(gpus: int) -> st.SearchStrategy[Record]:
    """Any record that may stand between the header and the end."""
    gpu = st.integers(0, gpus - 1)
    holders = st.lists(
        st.builds(Holder, NATURALS, st.text(max_size=8), MAYBE, MAYBE, MAYBE, st.text(max_size=8)),
        max_size=3,
    ).map(tuple)
    samples = st.lists(
        st.builds(UtilisationSample, NATURALS, NATURALS, NATURALS, NATURALS, NATURALS, NATURALS),
        max_size=3,
    ).map(tuple)
    instances = st.lists(st.builds(InstanceActivity, NATURALS, NATURALS, NATURALS), max_size=3).map(
        tuple
    )
    return st.one_of(
        st.builds(
            ReadingRecord,
            gpu,
            st.builds(Reading, NATURALS, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE),
        ),
        st.builds(ActivityRecord, gpu, st.builds(Activity, NATURALS, MAYBE, MAYBE)),
        st.builds(
            GaugesRecord, gpu, st.builds(Gauges, NATURALS, SIGNED, SIGNED, MAYBE, NAMED, NAMED)
        ),
        st.builds(HoldersRecord, gpu, NATURALS, st.none() | holders),
        st.builds(UtilisationRecord, gpu, NATURALS, st.none() | samples),
        st.builds(InstancesRecord, gpu, NATURALS, st.none() | instances),
        st.builds(
            ProcessRecord,
            NATURALS,
            st.builds(ProcessKey, st.text(max_size=8), NATURALS, NATURALS),
            st.text(max_size=15),
            st.text(max_size=15),
            st.text(max_size=15),
        ),
        st.builds(
            ErrorRecord,
            st.none() | gpu,
            NATURALS,
            st.text(max_size=8),
            st.sampled_from(ERROR_KINDS),
            st.text(max_size=8),
            st.text(max_size=8),
        ),
        st.builds(GpuRecord, gpu, NATURALS, INFOS),
        st.builds(EndRecord, NATURALS, st.text(max_size=8)),
    )


HEADERS = st.builds(
    Header,
    start_boottime_ns=NATURALS,
    start_wall_ns=st.integers(0, 2**62),
    gpus=st.lists(INFOS, min_size=1, max_size=3, unique_by=lambda info: info.uuid).map(tuple),
    submeter=st.text(max_size=6),
    backend=st.text(max_size=6),
    created=st.text(max_size=6),
    notice=st.text(max_size=6),
)


@pytest.fixture(scope="session")
def headers() -> st.SearchStrategy[Header]:
    return HEADERS


@pytest.fixture(scope="session")
def any_records() -> Callable[[int], st.SearchStrategy[Record]]:
    return records_of
