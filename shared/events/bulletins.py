"""Facts about bulletins 简报. Stream ``REGISTRY``, producer rectify.

A bulletin is drafted from what is published, edited by a person, and published by a person. The event holds
what proves which file it is and which data it rests on, never the text. What the bulletin says is public, the
event is not: it names the account that published.
"""

from typing import Annotated

from pydantic import Field

from shared.events.base import CityCode, CountyCode, DayField, EventData

Sha256Field = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
BulletinPeriod = Annotated[
    str, Field(pattern=r"^[0-9]{4}(-(0[1-9]|1[0-2])|Q[1-4]|-[0-9]{2}-[0-9]{2}-[1-9][0-9]{0,2}d)?$")
]
"""A month, quarter or year as in lists, or the last day and the length of a rolling window."""


class BulletinList(EventData):
    """One list that a bulletin rests on."""

    list: Annotated[
        str, Field(description="Key of the list, as in the bucket.", min_length=1, max_length=128)
    ]
    list_hash: Annotated[
        str, Field(description="Hash of the list as it was shown.", pattern=r"^sha256:[0-9a-f]{64}$")
    ]
    closed: Annotated[bool, Field(description="Whether its period was closed by then.")] = False


class BulletinPublished(EventData):
    """A person published a bulletin of a region and a period; of several the highest revision stands.

    The rule pack that its figures were made with is the envelope's ``rules``.
    """

    region: Annotated[str, Field(pattern=r"^[1-9][0-9]{5}$", description="GB/T 2260 code of the division.")]
    period: Annotated[
        BulletinPeriod, Field(description="2026-10, 2026Q4, 2026, or 2026-11-26-30d: 30 days up to a day.")
    ]
    first: Annotated[DayField, Field(description="First day that the figures cover.")]
    last: Annotated[DayField, Field(description="Last day that the figures cover.")]
    title: Annotated[str, Field(min_length=1, max_length=120, description="Title; names no person.")]
    issue: Annotated[str, Field(max_length=40, description="Number of the issue, as printed.")] = ""
    issuer: Annotated[str, Field(max_length=60, description="Issuing body, as printed.")] = ""
    revision: Annotated[int, Field(ge=1, description="1, 2, … for each region and period.")]
    pdf_sha256: Annotated[Sha256Field, Field(description="SHA-256 of the PDF file, hexadecimal.")]
    html_sha256: Annotated[Sha256Field, Field(description="SHA-256 of the HTML file, hexadecimal.")]
    figures_sha256: Annotated[
        Sha256Field, Field(description="SHA-256 of the figures that tables and plots were made of.")
    ]
    positions: Annotated[dict[str, int], Field(description="Last sequence that they rest on, by stream.")]
    lists: Annotated[
        tuple[BulletinList, ...], Field(max_length=32, description="The lists that they were taken from.")
    ] = ()
    published_by: Annotated[
        str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Account that published it.")
    ]
    city: Annotated[CityCode, Field(description="Prefecture, or 'all'.")] = "all"
    county: Annotated[CountyCode, Field(description="County, or 'all'.")] = "all"
