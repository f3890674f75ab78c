"""The executable specification of the hot-reload protocol (not written yet; see CHANGELOG)."""
