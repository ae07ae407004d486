"""A fake that can be switched off."""

from fanout.errors import Unavailable
from services.adapters.embedded.suspension import suspending


@suspending
class Switchable:
    """Raises `Unavailable` while `down`; or once, at the call that `fail_after` counts down to."""

    def __init__(self) -> None:
        self.down = False
        self.fail_after: int | None = None

    def _use(self) -> None:
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                self.fail_after = None
                raise Unavailable("switched off for one call")
        if self.down:
            raise Unavailable("switched off")

    async def ping(self) -> None:
        self._use()
