# SPDX-License-Identifier: Apache-2.0
"""What `buoy status` says of those who give addresses to Services, and of those who wait for one."""

from buoy.cli.status_services import lines


def test_who_leads_is_named() -> None:
    assert [("controller", "buoy-1 leads", "")] == list(lines("buoy-1", ()))


def test_where_no_controller_ever_led_nothing_is_wrong() -> None:
    assert [] == list(lines(None, ()))


def test_that_nobody_leads_is_wrong() -> None:
    [(what, value, note)] = lines("", ())
    assert ("controller", "nobody leads") == (what, value)
    assert "kubectl get pods,leases -n buoy-system" in note


def test_services_without_an_address_are_named_with_where_their_reason_is() -> None:
    [line] = lines(None, ("shop/a", "shop/b"))
    assert ("services", "2 without an address", "shop/a, shop/b; buoy why shop/a") == line
    [(_, value, note)] = lines(None, [f"shop/{name}" for name in "abcd"])
    assert ("4 without an address", True) == (value, note.startswith("shop/a, shop/b, shop/c, …;"))
