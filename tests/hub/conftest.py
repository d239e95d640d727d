"""The tests of this folder may ask for a Hub."""

from tests.hub_stand_in.stand_in import hub as hub
