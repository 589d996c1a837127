"""The door for calls: a relay that authorises, meters and settles, and never reaches SQL."""
