package report

// MaxProgress is how many points of progress a report has at most.
const MaxProgress = 240

// ProgressPoint is how far a run was at one moment. All counts are since its
// start.
type ProgressPoint struct {
	Seconds   float64 `json:"seconds"`  // since Report.StartedAt
	Done      int64   `json:"done"`     // rows that have an outcome other than pending
	Imported  int64   `json:"imported"` // of these, imported now
	Calls     int64   `json:"calls"`
	Throttled int64   `json:"throttled"`
}

// Timeline keeps the progress of a run of any length in at most MaxProgress
// points: when it is full, every second one is dropped, and from then on points
// are kept twice as far apart. The zero Timeline is empty and keeps a point a
// second. Not safe for concurrent use.
type Timeline struct {
	points []ProgressPoint
	every  float64
}

// Add takes a point in, which must not be earlier than those before. The newest
// is always kept; it gives way to the next where they are close.
func (t *Timeline) Add(p ProgressPoint) {
	if t.every == 0 {
		t.every = 1
	}
	// The last point stands for now. It stays for good once it is far enough from
	// the one before it.
	if n := len(t.points); n >= 2 && t.points[n-1].Seconds-t.points[n-2].Seconds < t.every {
		t.points[n-1] = p
		return
	}
	if len(t.points) == MaxProgress {
		kept := t.points[:0]
		for i := 0; i < MaxProgress; i += 2 {
			kept = append(kept, t.points[i])
		}
		t.points = kept
		t.every *= 2
	}
	t.points = append(t.points, p)
}

// Points returns a copy of the points, in order; never nil.
func (t *Timeline) Points() []ProgressPoint { return append([]ProgressPoint{}, t.points...) }
