"""The table of backends fits the ports, the settings and the services."""

from typing import Any, get_type_hints

import pytest

from fanout.ports.log import Log
from services.composition.backends import Backend, inspections
from services.composition.deployment_id import MembershipStore
from services.composition.running import Service
from services.composition.services import EVERY_SERVICE
from services.composition.table import BACKENDS
from services.runtime.settings import Settings

PORTS = [port for row in BACKENDS for port in row.ports]


def test_each_port_stands_in_one_row() -> None:
    assert len(PORTS) == len(set(PORTS))


def test_each_name_of_a_line_stands_once() -> None:
    names = [name for row in BACKENDS for name in inspections(row)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("service", EVERY_SERVICE, ids=lambda service: service.name)
def test_what_a_service_needs_is_in_the_table(service: Service[Any]) -> None:
    assert set(get_type_hints(service.ports).values()) <= set(PORTS)


@pytest.mark.parametrize("row", BACKENDS, ids=lambda row: row.name)
class TestRow:
    def test_a_remote_adapter_is_chosen_by_a_setting(self, row: Backend[object]) -> None:
        assert (row.setting in Settings.model_fields) is (row.remote is not None)

    def test_each_adapter_has_the_same_further_checks(self, row: Backend[object]) -> None:
        assert row.remote is None or row.remote.checks.keys() == row.embedded.checks.keys()

    def test_what_it_rests_on_is_opened_earlier(self, row: Backend[object]) -> None:
        assert set(row.rests_on) <= set(PORTS)

    def test_a_store_that_carries_the_deployments_id_rests_on_the_log(self, row: Backend[object]) -> None:
        # The log is what says whether the membership store is the right one.
        assert row.name == "log" or (MembershipStore in row.rests_on) is (Log in row.rests_on)

    def test_only_the_membership_store_reads_the_id_of_the_deployment(self, row: Backend[object]) -> None:
        for adapter in filter(None, (row.embedded, row.remote)):
            assert (adapter.existing_id is not None) is (MembershipStore in row.ports)
