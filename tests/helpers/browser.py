"""Chromium without a window, driven by its DevTools protocol: what is clicked and typed reaches the page as from a reader."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

#: key: what the protocol wants to know of it
KEYS: dict[str, dict[str, Any]] = {
    "Enter": {"windowsVirtualKeyCode": 13, "text": "\r"},
    "Escape": {"windowsVirtualKeyCode": 27},
    "Tab": {"windowsVirtualKeyCode": 9},
    "End": {"windowsVirtualKeyCode": 35},
    "Home": {"windowsVirtualKeyCode": 36},
    "ArrowLeft": {"windowsVirtualKeyCode": 37},
    "ArrowRight": {"windowsVirtualKeyCode": 39},
}

_CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
#: WCAG 2.2, level AA, text of normal size
CONTRAST_AA = 4.5

#: CSS pixels; every test that does not ask for another size has this one
SIZE = (1600, 1000)
#: seconds that the browser has to start and to answer
PATIENCE = 60


class Browser:
    """One page in one browser.

    Args:
        profile: an empty folder.
    """

    def __init__(self, profile: Path) -> None:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        options += ["--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-port=0"]
        self._process = subprocess.Popen(
            [str(CHROMIUM), *options, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._runner = asyncio.Runner()
        self._asked = 0
        self.events: list[dict[str, Any]] = []
        self._runner.run(self._connect(profile / "DevToolsActivePort"))
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._session.close())
        self._runner.close()
        self._process.terminate()
        self._process.wait(PATIENCE)

    async def _connect(self, file: Path) -> None:
        until = time.monotonic() + PATIENCE
        # it is written empty first
        while not (file.is_file() and "\n" in file.read_text()):
            assert time.monotonic() < until, "the browser did not start"
            await asyncio.sleep(0.05)
        port = file.read_text().split()[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [target for target in await answer.json() if target["type"] == "page"]
        self._socket = await self._session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; what the page says meanwhile goes to `events`."""
        self._asked += 1
        return self._runner.run(self._ask({"id": self._asked, "method": method, "params": parameters}))

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._socket.send_json(request)
        while True:
            message = await self._socket.receive_json(timeout=PATIENCE)
            if message.get("id") == request["id"]:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    def open(self, file: Path) -> None:
        """Open a file, in the usual size, and wait until it is there."""
        self.events.clear()
        self.size(*SIZE)
        self.ask("Page.navigate", url=file.as_uri())
        until = time.monotonic() + PATIENCE
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            assert time.monotonic() < until, "the page did not load"
            self.run("0")

    def size(self, width: int, height: int) -> None:
        """Make the window as large as this."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def media(self, *, kind: str = "", scheme: str = "light") -> None:
        """Say what the system is: ``print`` or the screen, ``light`` or ``dark``."""
        self.ask("Emulation.setEmulatedMedia", media=kind, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """Click the middle of the first element that a CSS selector finds."""
        x, y = self.run(
            f"""(() => {{ const e = document.querySelector({selector!r});
            e.scrollIntoView({{block: "center", behavior: "instant"}});
            const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, *keys: str) -> None:
        """Press keys one after another, wherever the focus is."""
        for key in keys:
            for kind in ("keyDown", "keyUp"):
                self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, **KEYS[key])

    def worst_contrast(self) -> dict[str, Any]:
        """Return the smallest ``ratio`` of contrast of all text that is seen, and the ``text``."""
        worst: dict[str, Any] = self.run(_CONTRAST)
        return worst

    @property
    def complaints(self) -> list[str]:
        """What the page or the browser wrote to the console as an error or a warning, and exceptions."""
        found = []
        for event in self.events:
            about = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(about["exceptionDetails"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
                found.append(str(about["args"]))
            elif event["method"] == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
                found.append(about["entry"]["text"])
        return found
