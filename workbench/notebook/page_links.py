"""The page link of each session: what a widget's page and the session's browser transport share."""

from __future__ import annotations

from functools import partial
from weakref import WeakKeyDictionary

from workbench.agent import Agent
from workbench.config import Settings
from workbench.session import Session, open_session
from workbench.transports.browser.page import PageLink
from workbench.transports.browser.transport import BrowserTransport

_links: WeakKeyDictionary[Session, PageLink] = WeakKeyDictionary()


def open_page_session(settings: Settings, agent: Agent | None) -> Session:
    """Return a session, not yet entered, whose `browser` source and sink are the page of its widgets."""
    link = PageLink()
    session = open_session(settings, agent=agent, transport=partial(BrowserTransport, link=link))
    _links[session] = link
    return session


def link_of(session: Session) -> PageLink:
    """Return the link of a session; one without sound where the session was not opened for a page."""
    return _links.setdefault(session, PageLink())
