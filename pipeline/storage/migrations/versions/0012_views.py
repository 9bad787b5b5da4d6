"""Make the views that others may build on; `pipeline.views` has their columns.

PostgreSQL refuses to drop or to retype a column that a view shows: a later revision drops the view
first, and makes it again. A rehearsal's universe ends with ".rehearsal"; no view shows one.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

#: Of `forecasts` as f. The publication that stands is the newest.
FORECAST = """
    f.universe, f.recipe, f.target, f.ticker, f.cutoff AS session,
    f.horizon, f.session AS forecast_session,
    f.last_value, f.y_hat AS median, f.lower_50, f.upper_50, f.lower_80, f.upper_80,
    f.lower_95, f.upper_95, f.lower_98, f.upper_98, f.champion, f.model_id,
    (
        SELECT MAX(p.published_at) FROM publications AS p
        WHERE p.universe = f.universe AND p.recipe = f.recipe AND p.target = f.target
        AND p.ticker = f.ticker AND p.cutoff = f.cutoff AND p.horizon = f.horizon
    ) AS published_at
"""
VIEWS = {
    "published_forecasts": f"""
        SELECT {FORECAST} FROM forecasts AS f WHERE f.universe NOT LIKE '%.rehearsal'
    """,
    # Neither database skips from one series to the next by itself: GROUP BY would read all
    # forecasts. Each MIN is a look into the key's index.
    "latest_forecasts": f"""
        WITH RECURSIVE universes (universe) AS (
            SELECT MIN(universe) FROM forecasts
            UNION ALL
            SELECT (SELECT MIN(n.universe) FROM forecasts AS n WHERE n.universe > u.universe)
            FROM universes AS u WHERE u.universe IS NOT NULL
        ), recipes (universe, recipe) AS (
            SELECT u.universe,
                (SELECT MIN(n.recipe) FROM forecasts AS n WHERE n.universe = u.universe)
            FROM universes AS u WHERE u.universe NOT LIKE '%.rehearsal'
            UNION ALL
            SELECT r.universe, (
                SELECT MIN(n.recipe) FROM forecasts AS n
                WHERE n.universe = r.universe AND n.recipe > r.recipe
            ) FROM recipes AS r WHERE r.recipe IS NOT NULL
        ), targets (universe, recipe, target) AS (
            SELECT r.universe, r.recipe, (
                SELECT MIN(n.target) FROM forecasts AS n
                WHERE n.universe = r.universe AND n.recipe = r.recipe
            ) FROM recipes AS r WHERE r.recipe IS NOT NULL
            UNION ALL
            SELECT t.universe, t.recipe, (
                SELECT MIN(n.target) FROM forecasts AS n
                WHERE n.universe = t.universe AND n.recipe = t.recipe AND n.target > t.target
            ) FROM targets AS t WHERE t.target IS NOT NULL
        )
        SELECT {FORECAST}
        FROM targets AS t JOIN forecasts AS f
        ON f.universe = t.universe AND f.recipe = t.recipe AND f.target = t.target
        AND f.cutoff = (
            SELECT MAX(n.cutoff) FROM forecasts AS n
            WHERE n.universe = t.universe AND n.recipe = t.recipe AND n.target = t.target
        )
    """,
    "scored_forecasts": """
        SELECT s.universe, s.recipe, s.target, s.ticker, s.cutoff AS session,
            s.horizon, s.session AS forecast_session,
            p.last_value, s.y_hat AS median, p.lower_50, p.upper_50, p.lower_80, p.upper_80,
            p.lower_95, p.upper_95, p.lower_98, p.upper_98, s.champion, p.model_id,
            s.published_at, s.backfilled, s.actual, s.error, s.naive_error,
            s.pinball, s.ewma_pinball, s.har_pinball, s.inside_80, s.inside_95
        FROM scores AS s LEFT JOIN publications AS p
        ON p.universe = s.universe AND p.recipe = s.recipe AND p.target = s.target
        AND p.ticker = s.ticker AND p.cutoff = s.cutoff AND p.horizon = s.horizon
        AND p.published_at = s.published_at
        WHERE s.universe NOT LIKE '%.rehearsal'
    """,
    "leaderboard": """
        SELECT universe, target, recipe, backfilled, forecasts, first_session, last_session,
            CASE WHEN naive_squared > 0 THEN 1 - SQRT(squared / naive_squared) END AS skill,
            CASE WHEN ewma_loss > 0 THEN 1 - loss / ewma_loss END AS pinball_skill,
            CASE WHEN har_loss > 0 THEN 1 - loss_beside_har / har_loss END
                AS pinball_skill_over_har,
            inside_80, inside_95
        FROM (
            SELECT universe, target, recipe, backfilled, COUNT(*) AS forecasts,
                MIN(session) AS first_session, MAX(session) AS last_session,
                SUM(error / last_value * error / last_value) AS squared,
                SUM(naive_error / last_value * naive_error / last_value) AS naive_squared,
                SUM(CASE WHEN ewma_pinball IS NOT NULL THEN pinball END) AS loss,
                SUM(CASE WHEN pinball IS NOT NULL THEN ewma_pinball END) AS ewma_loss,
                SUM(CASE WHEN har_pinball IS NOT NULL THEN pinball END) AS loss_beside_har,
                SUM(CASE WHEN pinball IS NOT NULL THEN har_pinball END) AS har_loss,
                CAST(AVG(CASE WHEN inside_80 THEN 1 ELSE 0 END) AS DOUBLE PRECISION) AS inside_80,
                CAST(AVG(CASE WHEN inside_95 THEN 1 ELSE 0 END) AS DOUBLE PRECISION) AS inside_95
            FROM (
                SELECT universe, target, recipe, backfilled, session, error, naive_error,
                    pinball, ewma_pinball, har_pinball, inside_80, inside_95,
                    actual - naive_error AS last_value
                FROM scores WHERE universe NOT LIKE '%.rehearsal'
            ) AS scored
            GROUP BY universe, target, recipe, backfilled
        ) AS sums
    """,
    "quarantines": """
        SELECT c.universe, c.recipe, c.target, c.ticker, c.cutoff AS session,
            c.reasons, c.known_at
        FROM checks AS c
        WHERE c.verdict = 'quarantined' AND c.universe NOT LIKE '%.rehearsal'
    """,
}
FIRST_VERSIONS = " UNION ALL ".join(f"SELECT '{name}' AS view_name, 1 AS version" for name in VIEWS)


def upgrade() -> None:
    for name, query in {**VIEWS, "view_versions": FIRST_VERSIONS}.items():
        op.execute(f"CREATE VIEW {name} AS {query}")
