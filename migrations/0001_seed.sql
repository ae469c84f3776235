-- Tiers and the reference model: data that the admin may change later.
INSERT INTO tier (name, weight, max_running, max_queued, creates_per_minute, creates_burst, start_bound_s) VALUES
  ('free', 1, 1, 20, 30, 30, 7200),
  ('plus', 4, 3, 200, 120, 120, 21600),
  ('pro', 10, 10, 1000, 600, 300, 86400);
--> statement-breakpoint
INSERT INTO model (name, engine, fps, sizes, default_size, seconds_min, seconds_max, seconds_default, steps_default, steps_max) VALUES
  ('reference', 'reference', 24, '[
    {"size": "320x192", "resolution": "192p"},
    {"size": "832x480", "resolution": "480p"}, {"size": "480x832", "resolution": "480p"}, {"size": "480x480", "resolution": "480p"},
    {"size": "1280x720", "resolution": "720p"}, {"size": "720x1280", "resolution": "720p"}, {"size": "720x720", "resolution": "720p"},
    {"size": "1920x1080", "resolution": "1080p"}, {"size": "1080x1920", "resolution": "1080p"}, {"size": "1080x1080", "resolution": "1080p"},
    {"size": "1024x1792", "resolution": "1080p"}, {"size": "1792x1024", "resolution": "1080p"}
  ]', '720x1280', 1, 60, 4, 30, 100);
--> statement-breakpoint
-- One credit a GPU-second of the reference engine on one core, at the top of the duration bucket.
INSERT INTO model_class (model, name, resolution, seconds_max, price, gpu_ms, vram_bytes)
SELECT 'reference', resolution || '/' || seconds_max || 's', resolution, seconds_max, gpu_ms_per_second * seconds_max, gpu_ms_per_second * seconds_max, vram_bytes
FROM (VALUES ('192p', 750, 268435456), ('480p', 2300, 536870912), ('720p', 5250, 1073741824), ('1080p', 11800, 2147483648))
  AS r (resolution, gpu_ms_per_second, vram_bytes)
CROSS JOIN (VALUES (1), (4), (8), (12), (20), (60)) AS s (seconds_max);
