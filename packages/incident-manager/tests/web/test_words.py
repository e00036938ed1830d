"""What the pages say, and what they take from addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from incident_manager.api.errors import ApiError
from incident_manager.domain.severity import Severity
from incident_manager.web.condition import age
from incident_manager.web.forms import local_path
from incident_manager.web.list_query import STATES, ListQuery, read_query
from incident_manager.web.rendering import web_link


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (86_400, "1 d")],
)
def test_age_is_said_roughly(seconds: float, words: str) -> None:
    assert age(seconds) == words


@given(
    st.builds(
        ListQuery,
        state=st.sampled_from(sorted(STATES)),
        severity=st.none() | st.sampled_from(Severity),
        source=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20).map(str.strip),
        text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20).map(str.strip),
    )
)
def test_choice_of_incidents_survives_its_address(query: ListQuery) -> None:
    assert read_query(QueryParams(query.address().partition("?")[2])) == query


def test_text_that_no_database_holds_is_refused() -> None:
    with pytest.raises(ApiError, match="U\\+0000"):
        read_query(QueryParams("text=a%00b"))


@given(st.text())
def test_redirection_never_leaves_the_site(text: str) -> None:
    path = local_path(text)
    assert path.startswith("/")
    assert path[1:2] not in ("/", "\\")
    assert path.isprintable()


@given(st.text())
def test_link_is_a_web_address_or_none(text: str) -> None:
    found = web_link(text)
    assert found is None or found.startswith(("http://", "https://", "HTTP", "HTTPS", "Http"))
