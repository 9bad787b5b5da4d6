#!/usr/bin/env python
"""Exit with 0 where Airflow's API server reports a component as healthy.

    heartbeat.py scheduler (or dag_processor, triggerer)

`airflow jobs check` answers the same question, but starts all of Airflow every time.
"""

import json
import sys
import urllib.request

URL = "http://api-server:8080/api/v2/monitor/health"

if __name__ == "__main__":
    component, url = sys.argv[1], (sys.argv[2:] or [URL])[0]
    with urllib.request.urlopen(url, timeout=5) as answer:
        status = json.load(answer)[component]["status"]
    sys.exit(0 if status == "healthy" else f"{component} is {status}")
