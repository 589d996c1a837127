SELECT
  *
FROM (
  SELECT
    "t0"."member" AS "member",
    "t0"."day" AS "day",
    SUM("t0"."model_tokens") AS "model_tokens",
    SUM("t0"."list_cost_nanos") AS "list_cost_nanos"
  FROM "rollup" AS "t0"
  GROUP BY
    "t0"."member",
    "t0"."day"
) AS "t1"
ORDER BY
  "t1"."member" ASC,
  "t1"."day" ASC
LIMIT 2000001;

SELECT
  *
FROM (
  SELECT
    "t0"."member" AS "member",
    "t0"."day" AS "day",
    CAST(SUM(CAST("t0"."model_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "model_tokens",
    CAST(SUM(CAST("t0"."list_cost_nanos" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "list_cost_nanos"
  FROM "usage" AS "t0"
  GROUP BY
    "t0"."member",
    "t0"."day"
) AS "t1"
ORDER BY
  "t1"."member" ASC,
  "t1"."day" ASC
LIMIT 2000001;

SELECT
  *
FROM (
  SELECT
    "t2"."tag" AS "tag",
    dateTrunc('WEEK', "t2"."day") AS "week",
    COALESCE(SUM("t2"."call_count"), 0) AS "call_count",
    SUM("t2"."input_tokens") AS "input_tokens",
    SUM("t2"."cache_read_tokens") AS "cache_read_tokens",
    SUM("t2"."cache_write_5m_tokens") AS "cache_write_5m_tokens",
    SUM("t2"."cache_write_1h_tokens") AS "cache_write_1h_tokens",
    SUM("t2"."input_audio_tokens") AS "input_audio_tokens",
    SUM("t2"."input_image_tokens") AS "input_image_tokens",
    SUM("t2"."output_tokens") AS "output_tokens",
    SUM("t2"."reasoning_tokens") AS "reasoning_tokens",
    SUM("t2"."output_audio_tokens") AS "output_audio_tokens",
    SUM("t2"."output_image_tokens") AS "output_image_tokens",
    SUM("t2"."request_count") AS "request_count",
    SUM("t2"."web_search_count") AS "web_search_count",
    SUM("t2"."web_fetch_count") AS "web_fetch_count",
    SUM("t2"."file_search_count") AS "file_search_count",
    SUM("t2"."code_second_count") AS "code_second_count",
    SUM("t2"."search_unit_count") AS "search_unit_count",
    SUM("t2"."image_count") AS "image_count",
    SUM("t2"."character_count") AS "character_count",
    SUM("t2"."audio_second_count") AS "audio_second_count",
    SUM("t2"."training_tokens") AS "training_tokens",
    SUM("t2"."model_tokens") AS "model_tokens",
    SUM("t2"."list_cost_nanos") AS "list_cost_nanos",
    SUM("t2"."net_cost_nanos") AS "net_cost_nanos",
    SUM("t2"."billed_cost_nanos") AS "billed_cost_nanos",
    SUM("t2"."charge_nanos") AS "charge_nanos"
  FROM (
    SELECT
      "t1"."hour_at" AS "hour_at",
      "t1"."day" AS "day",
      "t1"."member" AS "member",
      "t1"."department" AS "department",
      "t1"."cost_centre" AS "cost_centre",
      "t1"."project" AS "project",
      "t1"."model" AS "model",
      "t1"."provider" AS "provider",
      "t1"."key" AS "key",
      "t1"."tags_text" AS "tags_text",
      "t1"."purpose" AS "purpose",
      "t1"."source" AS "source",
      "t1"."billing" AS "billing",
      "t1"."status" AS "status",
      "t1"."service_tier" AS "service_tier",
      "t1"."currency" AS "currency",
      "t1"."call_count" AS "call_count",
      "t1"."input_tokens" AS "input_tokens",
      "t1"."cache_read_tokens" AS "cache_read_tokens",
      "t1"."cache_write_5m_tokens" AS "cache_write_5m_tokens",
      "t1"."cache_write_1h_tokens" AS "cache_write_1h_tokens",
      "t1"."input_audio_tokens" AS "input_audio_tokens",
      "t1"."input_image_tokens" AS "input_image_tokens",
      "t1"."output_tokens" AS "output_tokens",
      "t1"."reasoning_tokens" AS "reasoning_tokens",
      "t1"."output_audio_tokens" AS "output_audio_tokens",
      "t1"."output_image_tokens" AS "output_image_tokens",
      "t1"."request_count" AS "request_count",
      "t1"."web_search_count" AS "web_search_count",
      "t1"."web_fetch_count" AS "web_fetch_count",
      "t1"."file_search_count" AS "file_search_count",
      "t1"."code_second_count" AS "code_second_count",
      "t1"."search_unit_count" AS "search_unit_count",
      "t1"."image_count" AS "image_count",
      "t1"."character_count" AS "character_count",
      "t1"."audio_second_count" AS "audio_second_count",
      "t1"."training_tokens" AS "training_tokens",
      "t1"."model_tokens" AS "model_tokens",
      "t1"."list_cost_nanos" AS "list_cost_nanos",
      "t1"."net_cost_nanos" AS "net_cost_nanos",
      "t1"."billed_cost_nanos" AS "billed_cost_nanos",
      "t1"."charge_nanos" AS "charge_nanos",
      arrayJoin(splitByString(',', CAST("t1"."tags_text" AS String))) AS "tag"
    FROM (
      SELECT
        *
      FROM "rollup" AS "t0"
      WHERE
        match("t0"."model", '(?i)SON')
    ) AS "t1"
  ) AS "t2"
  GROUP BY
    "t2"."tag",
    dateTrunc('WEEK', "t2"."day")
) AS "t3"
ORDER BY
  "t3"."tag" ASC,
  "t3"."week" ASC
LIMIT 2000001;

SELECT
  *
FROM (
  SELECT
    "t2"."tag" AS "tag",
    dateTrunc('WEEK', "t2"."day") AS "week",
    COUNT(*) AS "call_count",
    CAST(SUM(CAST("t2"."input_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "input_tokens",
    CAST(SUM(CAST("t2"."cache_read_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "cache_read_tokens",
    CAST(SUM(CAST("t2"."cache_write_5m_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "cache_write_5m_tokens",
    CAST(SUM(CAST("t2"."cache_write_1h_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "cache_write_1h_tokens",
    CAST(SUM(CAST("t2"."input_audio_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "input_audio_tokens",
    CAST(SUM(CAST("t2"."input_image_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "input_image_tokens",
    CAST(SUM(CAST("t2"."output_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "output_tokens",
    CAST(SUM(CAST("t2"."reasoning_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "reasoning_tokens",
    CAST(SUM(CAST("t2"."output_audio_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "output_audio_tokens",
    CAST(SUM(CAST("t2"."output_image_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "output_image_tokens",
    CAST(SUM(CAST("t2"."request_count" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "request_count",
    CAST(SUM(CAST("t2"."web_search_count" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "web_search_count",
    CAST(SUM(CAST("t2"."web_fetch_count" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "web_fetch_count",
    CAST(SUM(CAST("t2"."file_search_count" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "file_search_count",
    CAST(SUM(CAST("t2"."code_second_count" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "code_second_count",
    CAST(SUM(CAST("t2"."search_unit_count" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "search_unit_count",
    CAST(SUM(CAST("t2"."image_count" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "image_count",
    CAST(SUM(CAST("t2"."character_count" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "character_count",
    CAST(SUM(CAST("t2"."audio_second_count" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "audio_second_count",
    CAST(SUM(CAST("t2"."training_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "training_tokens",
    CAST(SUM(CAST("t2"."model_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "model_tokens",
    CAST(SUM(CAST("t2"."list_cost_nanos" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "list_cost_nanos",
    CAST(SUM(CAST("t2"."net_cost_nanos" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "net_cost_nanos",
    CAST(SUM(CAST("t2"."billed_cost_nanos" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "billed_cost_nanos",
    CAST(SUM(CAST("t2"."charge_nanos" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "charge_nanos"
  FROM (
    SELECT
      "t1"."source" AS "source",
      "t1"."event_id" AS "event_id",
      "t1"."admitted_at" AS "admitted_at",
      "t1"."provider" AS "provider",
      "t1"."requested_model" AS "requested_model",
      "t1"."resolved_model" AS "resolved_model",
      "t1"."answered_model" AS "answered_model",
      "t1"."usage_source" AS "usage_source",
      "t1"."billing" AS "billing",
      "t1"."call_id" AS "call_id",
      "t1"."attempt" AS "attempt",
      "t1"."deployment" AS "deployment",
      "t1"."service_tier" AS "service_tier",
      "t1"."rate_card_digest" AS "rate_card_digest",
      "t1"."currency" AS "currency",
      "t1"."list_cost_nanos" AS "list_cost_nanos",
      "t1"."net_cost_nanos" AS "net_cost_nanos",
      "t1"."billed_cost_nanos" AS "billed_cost_nanos",
      "t1"."charge_nanos" AS "charge_nanos",
      "t1"."hold_max_nanos" AS "hold_max_nanos",
      "t1"."member" AS "member",
      "t1"."department" AS "department",
      "t1"."cost_centre" AS "cost_centre",
      "t1"."key" AS "key",
      "t1"."project" AS "project",
      "t1"."session" AS "session",
      "t1"."outcome" AS "outcome",
      "t1"."purpose" AS "purpose",
      "t1"."tags" AS "tags",
      "t1"."status" AS "status",
      "t1"."finish" AS "finish",
      "t1"."first_byte_at" AS "first_byte_at",
      "t1"."ended_at" AS "ended_at",
      "t1"."hashes" AS "hashes",
      "t1"."input_tokens" AS "input_tokens",
      "t1"."cache_read_tokens" AS "cache_read_tokens",
      "t1"."cache_write_5m_tokens" AS "cache_write_5m_tokens",
      "t1"."cache_write_1h_tokens" AS "cache_write_1h_tokens",
      "t1"."input_audio_tokens" AS "input_audio_tokens",
      "t1"."input_image_tokens" AS "input_image_tokens",
      "t1"."output_tokens" AS "output_tokens",
      "t1"."reasoning_tokens" AS "reasoning_tokens",
      "t1"."output_audio_tokens" AS "output_audio_tokens",
      "t1"."output_image_tokens" AS "output_image_tokens",
      "t1"."request_count" AS "request_count",
      "t1"."web_search_count" AS "web_search_count",
      "t1"."web_fetch_count" AS "web_fetch_count",
      "t1"."file_search_count" AS "file_search_count",
      "t1"."code_second_count" AS "code_second_count",
      "t1"."search_unit_count" AS "search_unit_count",
      "t1"."image_count" AS "image_count",
      "t1"."character_count" AS "character_count",
      "t1"."audio_second_count" AS "audio_second_count",
      "t1"."training_tokens" AS "training_tokens",
      "t1"."day" AS "day",
      "t1"."hour_at" AS "hour_at",
      "t1"."model" AS "model",
      "t1"."model_tokens" AS "model_tokens",
      arrayJoin(CASE WHEN length("t1"."tags") = 0 THEN [''] ELSE "t1"."tags" END) AS "tag"
    FROM (
      SELECT
        *
      FROM "usage" AS "t0"
      WHERE
        match("t0"."model", '(?i)SON')
    ) AS "t1"
  ) AS "t2"
  GROUP BY
    "t2"."tag",
    dateTrunc('WEEK', "t2"."day")
) AS "t3"
ORDER BY
  "t3"."tag" ASC,
  "t3"."week" ASC
LIMIT 2000001;

SELECT
  *
FROM (
  SELECT
    "t1"."department" AS "department",
    dateTrunc('MONTH', "t1"."day") AS "month",
    "t1"."hour_at" AS "hour_at",
    COALESCE(SUM("t1"."call_count"), 0) AS "call_count",
    SUM("t1"."model_tokens") AS "model_tokens",
    SUM("t1"."list_cost_nanos") AS "list_cost_nanos"
  FROM (
    SELECT
      *
    FROM "rollup" AS "t0"
    WHERE
      NOT (
        position(CONCAT(CONCAT(',', "t0"."tags_text"), ','), ',review,') > 0
      )
  ) AS "t1"
  GROUP BY
    "t1"."department",
    dateTrunc('MONTH', "t1"."day"),
    "t1"."hour_at"
) AS "t2"
ORDER BY
  "t2"."list_cost_nanos" DESC,
  "t2"."department" ASC,
  "t2"."month" ASC,
  "t2"."hour_at" ASC
LIMIT 5;

SELECT
  *
FROM (
  SELECT
    "t1"."department" AS "department",
    dateTrunc('MONTH', "t1"."day") AS "month",
    "t1"."hour_at" AS "hour_at",
    COUNT(*) AS "call_count",
    CAST(SUM(CAST("t1"."model_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "model_tokens",
    CAST(SUM(CAST("t1"."list_cost_nanos" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "list_cost_nanos"
  FROM (
    SELECT
      *
    FROM "usage" AS "t0"
    WHERE
      NOT (
        has("t0"."tags", 'review')
      )
  ) AS "t1"
  GROUP BY
    "t1"."department",
    dateTrunc('MONTH', "t1"."day"),
    "t1"."hour_at"
) AS "t2"
ORDER BY
  "t2"."list_cost_nanos" DESC,
  "t2"."department" ASC,
  "t2"."month" ASC,
  "t2"."hour_at" ASC
LIMIT 5;

SELECT
  COALESCE(SUM("t1"."call_count"), 0) AS "call_count",
  SUM("t1"."charge_nanos") AS "charge_nanos",
  SUM("t1"."audio_second_count") AS "audio_second_count"
FROM (
  SELECT
    *
  FROM "rollup" AS "t0"
  WHERE
    "t0"."tags_text" = ''
) AS "t1";

SELECT
  COUNT(*) AS "call_count",
  CAST(SUM(CAST("t1"."charge_nanos" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "charge_nanos",
  CAST(SUM(CAST("t1"."audio_second_count" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "audio_second_count"
FROM (
  SELECT
    *
  FROM "usage" AS "t0"
  WHERE
    length("t0"."tags") = 0
) AS "t1";

SELECT
  *
FROM (
  SELECT
    "t1"."member" AS "member",
    COALESCE(SUM("t1"."call_count"), 0) AS "call_count",
    SUM("t1"."model_tokens") AS "model_tokens",
    SUM("t1"."list_cost_nanos") AS "list_cost_nanos"
  FROM (
    SELECT
      *
    FROM "rollup" AS "t0"
    WHERE
      TRUE
  ) AS "t1"
  GROUP BY
    "t1"."member"
) AS "t2"
ORDER BY
  "t2"."member" ASC
LIMIT 2000001;

SELECT
  *
FROM (
  SELECT
    "t1"."member" AS "member",
    COUNT(*) AS "call_count",
    CAST(SUM(CAST("t1"."model_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "model_tokens",
    CAST(SUM(CAST("t1"."list_cost_nanos" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "list_cost_nanos"
  FROM (
    SELECT
      *
    FROM "usage" AS "t0"
    WHERE
      TRUE
  ) AS "t1"
  GROUP BY
    "t1"."member"
) AS "t2"
ORDER BY
  "t2"."member" ASC
LIMIT 2000001;

SELECT
  *
FROM (
  SELECT
    "t1"."purpose" AS "purpose",
    "t1"."currency" AS "currency",
    "t1"."billing" AS "billing",
    COALESCE(SUM("t1"."call_count"), 0) AS "call_count",
    SUM("t1"."model_tokens") AS "model_tokens",
    SUM("t1"."list_cost_nanos") AS "list_cost_nanos"
  FROM (
    SELECT
      *
    FROM "rollup" AS "t0"
    WHERE
      "t0"."hour_at" >= 1767657600000000 AND "t0"."hour_at" < 1768348800000000
  ) AS "t1"
  GROUP BY
    "t1"."purpose",
    "t1"."currency",
    "t1"."billing"
) AS "t2"
ORDER BY
  "t2"."purpose" ASC,
  "t2"."currency" ASC,
  "t2"."billing" ASC
LIMIT 2000001;

SELECT
  *
FROM (
  SELECT
    "t1"."purpose" AS "purpose",
    "t1"."currency" AS "currency",
    "t1"."billing" AS "billing",
    COUNT(*) AS "call_count",
    CAST(SUM(CAST("t1"."model_tokens" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "model_tokens",
    CAST(SUM(CAST("t1"."list_cost_nanos" AS Nullable(Decimal(38, 0)))) AS Nullable(Decimal(38, 0))) AS "list_cost_nanos"
  FROM (
    SELECT
      *
    FROM "usage" AS "t0"
    WHERE
      "t0"."admitted_at" >= 1767657600000000 AND "t0"."admitted_at" < 1768348800000000
  ) AS "t1"
  GROUP BY
    "t1"."purpose",
    "t1"."currency",
    "t1"."billing"
) AS "t2"
ORDER BY
  "t2"."purpose" ASC,
  "t2"."currency" ASC,
  "t2"."billing" ASC
LIMIT 2000001;

SELECT
  *
FROM (
  SELECT
    "t1"."purpose" AS "purpose",
    "t1"."currency" AS "currency",
    "t1"."billing" AS "billing",
    COALESCE(SUM("t1"."call_count"), 0) AS "call_count",
    SUM("t1"."model_tokens") AS "model_tokens",
    SUM("t1"."list_cost_nanos") AS "list_cost_nanos"
  FROM (
    SELECT
      *
    FROM "daily" AS "t0"
    WHERE
      "t0"."day" >= toDate('2026-01-06') AND "t0"."day" < toDate('2026-01-14')
  ) AS "t1"
  GROUP BY
    "t1"."purpose",
    "t1"."currency",
    "t1"."billing"
) AS "t2"
ORDER BY
  "t2"."purpose" ASC,
  "t2"."currency" ASC,
  "t2"."billing" ASC
LIMIT 2000001;
