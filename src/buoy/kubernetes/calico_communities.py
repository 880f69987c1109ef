# SPDX-License-Identifier: Apache-2.0
"""Calico's `communities` and `prefixAdvertisements`: what announcements inside a prefix carry.

Promises that a community which cannot be read, or a name that nobody defines, is left
out and named, and the others are in force. What has a colon is a value, all else a name.

Source: projectcalico/calico api/pkg/apis/projectcalico/v3/bgpconfig.go.
"""

from collections.abc import Iterator, Mapping

from buoy.kubernetes.foreign import BGPConfigurationSpec, PrefixAdvertisement
from buoy.kubernetes.reading import read_prefix
from buoy.model.community import parse_community
from buoy.model.errors import InvalidInput
from buoy.model.peer import Tagged


def tagged(spec: BGPConfigurationSpec, notices: list[str]) -> Iterator[Tagged]:
    """Yield the prefixes with their communities; append to `notices` what is left out."""
    named = {}
    for index, each in enumerate(spec.communities or ()):
        try:
            named[each.name] = _community(each.value, f"spec.communities[{index}].value")
        except InvalidInput as error:
            notices.append(str(error))
    for index, advertisement in enumerate(spec.prefix_advertisements or ()):
        field = f"spec.prefixAdvertisements[{index}]"
        try:
            prefix = read_prefix(advertisement.cidr, f"{field}.cidr")
        except InvalidInput as error:
            notices.append(str(error))
            continue
        if communities := tuple(dict.fromkeys(_communities(advertisement, named, field, notices))):
            yield Tagged(prefix=prefix, communities=communities)


def _communities(
    advertisement: PrefixAdvertisement, named: Mapping[str, str], field: str, notices: list[str]
) -> Iterator[str]:
    for index, text in enumerate(advertisement.communities or ()):
        try:
            yield _named_or_given(text, named, f"{field}.communities[{index}]")
        except InvalidInput as error:
            notices.append(str(error))


def _named_or_given(text: str, named: Mapping[str, str], field: str) -> str:
    if ":" in text:
        return _community(text, field)
    if text not in named:
        raise InvalidInput(field, text, "give aa:nn, aa:nn:mm or the name of one of spec.communities")
    return named[text]


def _community(text: str, field: str) -> str:
    plain = ":".join(part.lstrip("0") or part[:1] for part in text.split(":"))
    parse_community(plain, field)
    return plain
