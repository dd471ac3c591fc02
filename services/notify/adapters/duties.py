"""The people, and what notify does by itself: following up, reading its files."""

import asyncio
from pathlib import Path
from typing import Final

from nats.aio.client import Client

from services.notify.adapters.office_fold import OfficeFold
from services.notify.adapters.recipients_file import RecipientsFile
from services.notify.adapters.working_days import WorkingDays
from services.notify.application.following import FollowUp
from services.notify.application.ports import RulePacks
from services.notify.application.routing import Router
from services.notify.domain.directory import Directory
from services.notify.domain.ledger import Ledger
from services.notify.domain.offices import Offices
from services.notify.metrics import NotifyMetrics
from shared.kernel.clock import Clock, business_day
from shared.kernel.units import UnitRegistry
from shared.observability.lifecycle import TaskSupervisor
from shared.rules.holidays import FileHolidays

FILE_EVERY_S: Final = 10.0


class People:
    """Who can be told, and when: the file of recipients, the registry's responsible people, working days."""

    def __init__(
        self, file: RecipientsFile, router: Router, offices: Offices, working_days: WorkingDays
    ) -> None:
        """Keep the router's directory by `file` and `offices`, and the `working_days` that it goes by."""
        self.router = router
        self._file = file
        self._working_days = working_days
        self._offices = OfficeFold(offices)

    async def caught_up(self, client: Client, tasks: TaskSupervisor) -> None:
        """Return once the registry has been read to its end; nobody is to be told before."""
        if "office-fold" not in tasks.running:
            tasks.start("office-fold", self._offices.run(client))
        await self._offices.caught_up()

    async def follow_files(self) -> None:
        """Take changes of the files in until cancelled."""
        while True:
            await asyncio.sleep(FILE_EVERY_S)
            self._file.refresh(self.router.directory)
            self._working_days.refresh()


def make_people(
    path: Path | None,
    holidays_path: Path | None,
    packs: RulePacks,
    units: UnitRegistry,
    clock: Clock,
    metrics: NotifyMetrics,
) -> People:
    """Read the people.

    Args:
        path: file of recipients; None: there is none.
        holidays_path: file of holidays announced since the release; None: there is none.
        packs: name the kinds of windows.
        units: the registry.
        clock: today's pack counts.
        metrics: the service's.

    Raises:
        RecipientsError: the file can't be used.
        HolidayFileError: likewise.
        OSError: it can't be read.
    """
    file = RecipientsFile(path, units, packs.on(business_day(clock.now())).kinds, metrics)
    offices = Offices()
    directory = Directory(file.read(), units, offices)
    works_on = WorkingDays(FileHolidays(holidays_path), metrics)
    return People(file, Router(directory, Ledger(), works_on), offices, works_on)


class Duties:
    """Starts the tasks, once."""

    def __init__(self, people: People, follow_up: FollowUp) -> None:
        """Follow up, and take changes of the people's files in."""
        self._people = people
        self._follow_up = follow_up

    def start(self, tasks: TaskSupervisor, every_s: float) -> None:
        """Start following up every `every_s` seconds, and the files."""
        tasks.start("follow-up", self._follow_up.run(every_s))
        tasks.start("recipients", self._people.follow_files())
