"""The fixture `hub`, a running Hub stand-in, for the tests of this folder."""

from tests.hub_stand_in.stand_in import hub as hub
