"""What a run on one target has in common with a run on another: everything, but for one short list.

Pure: `document.py` brings what was seen of a run into a form that can be compared, `compare.py` finds every difference
between two of them, and `allowed.py` holds these against `allowed.toml`. `harness/parity_record.py` collects, and
`harness/parity_verb.py` tells.
"""
