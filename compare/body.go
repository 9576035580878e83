package compare

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const bodyField = "body"

// maxJSONPaths is how many paths of a JSON document are compared one by one.
const maxJSONPaths = 200

// body compares the documents of answers that are successes. Error pages may differ:
// each side writes its own.
func (j *judgement) body() {
	if j.Method == http.MethodHead || j.New.Status > 299 || j.typeDiffers() {
		return
	}
	bodies := [3]string{}
	for i, answer := range []*Answer{&j.Old, &j.New, &j.Again} {
		bodies[i] = string(plainBody(answer))
	}
	bodies[1] = j.links(bodies)
	if j.json(bodies) {
		return
	}
	if isText(j.New.Header.Get("Content-Type")) {
		j.lines(bodies)
		return
	}
	j.reportBody(bodyField, odd(hashed(bodies[0]), hashed(bodies[1]), hashed(bodies[2])), "other content on new")
}

func (j *judgement) typeDiffers() bool {
	return mediaType(&j.Old) != mediaType(&j.New) || mediaType(&j.Old) != mediaType(&j.Again)
}

func mediaType(a *Answer) string {
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	return kind
}

func isText(contentType string) bool {
	for _, kind := range []string{"text/", "xml", "javascript", "json"} {
		if strings.Contains(contentType, kind) {
			return true
		}
	}
	return false
}

// links finds new_host in the body of new alone. It gives the body as it would be with
// the name that clients use, so that nothing else is found in the same links.
func (j *judgement) links(bodies [3]string) string {
	name := "//" + j.NewHost
	if !j.leaks(j.NewHost) || !strings.Contains(bodies[1], name) {
		return bodies[1]
	}
	if strings.Contains(bodies[0], name) || strings.Contains(bodies[2], name) {
		return bodies[1]
	}
	j.differs("links", AbsoluteLinks, fmt.Sprintf("links to %s in the page of new", j.NewHost))
	return strings.ReplaceAll(bodies[1], name, "//"+j.Host)
}

// reportBody adds a field of the body. Content that is older on new is stale.
func (j *judgement) reportBody(field string, found oddity, text string) {
	switch found {
	case noisy:
		j.noise(field)
	case newIsOdd:
		if age := j.olderOnNew(); age != "" {
			if !j.explained[bodyField] {
				j.differs(bodyField, StaleContent, age)
			}
			j.explained[bodyField] = true
			return
		}
		j.differs(field, Content, text)
	case allEqual:
	}
}

// olderOnNew says that new's content was modified before old's; "" if it was not.
func (j *judgement) olderOnNew() string {
	old, err := http.ParseTime(j.Old.Header.Get("Last-Modified"))
	new, errNew := http.ParseTime(j.New.Header.Get("Last-Modified"))
	if err != nil || errNew != nil || !new.Before(old) {
		return ""
	}
	return fmt.Sprintf("other content on new, last modified %s before old's", old.Sub(new).Round(time.Second))
}

func hashed(text string) string {
	sum := fnv.New64a()
	sum.Write([]byte(text))
	return strconv.FormatUint(sum.Sum64(), 36)
}

// json compares JSON documents path by path. It reports false if they are none.
func (j *judgement) json(bodies [3]string) bool {
	if !strings.Contains(mediaType(&j.New), "json") {
		return false
	}
	var values [3]map[string]string
	paths := map[string]bool{}
	for i, body := range bodies {
		var ok bool
		if values[i], ok = flatten(body); !ok {
			return false
		}
		for path := range values[i] {
			paths[path] = true
		}
	}
	if len(paths) > maxJSONPaths {
		return false
	}
	for _, path := range outermost(paths, values) {
		found := odd(values[0][path], values[1][path], values[2][path])
		j.reportBody("json "+path, found, jsonText(path, values[0][path], values[1][path]))
	}
	return true
}

// outermost gives the paths in order, without those inside of one that an answer lacks.
func outermost(paths map[string]bool, values [3]map[string]string) []string {
	var kept []string
	lacking := ""
	for _, path := range slices.SortedFunc(maps.Keys(paths), func(a, b string) int { return cmp.Compare(a+"/", b+"/") }) {
		if lacking != "" && strings.HasPrefix(path, lacking+"/") {
			continue
		}
		lacking = ""
		kept = append(kept, path)
		if values[0][path] == "" || values[1][path] == "" || values[2][path] == "" {
			lacking = path
		}
	}
	return kept
}

func jsonText(path, old, new string) string {
	oldType, _, _ := strings.Cut(old, " ")
	newType, _, _ := strings.Cut(new, " ")
	switch {
	case new == "":
		return path + " missing on new"
	case old == "":
		return path + " only on new"
	case oldType != newType:
		return fmt.Sprintf("%s: %s on new, %s on old", path, newType, oldType)
	}
	return path + ": another value on new"
}

// flatten gives the types and hashed values of a JSON document by path: "/a/[]/b". The
// values of all elements of an array are one.
func flatten(text string) (map[string]string, bool) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return nil, false
	}
	collected := map[string][]string{}
	collect(collected, "", document)
	values := map[string]string{}
	for path, all := range collected {
		kind, _, _ := strings.Cut(all[0], " ")
		values[cmp.Or(path, "/")] = kind + " " + hashed(strings.Join(all, "\n"))
	}
	return values, true
}

func collect(into map[string][]string, path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		into[path] = append(into[path], "object")
		for name, member := range value {
			collect(into, path+"/"+template(name), member)
		}
	case []any:
		into[path] = append(into[path], fmt.Sprint("array ", len(value)))
		for _, element := range value {
			collect(into, path+"/[]", element)
		}
	case nil:
		into[path] = append(into[path], "null")
	case string:
		into[path] = append(into[path], "string "+value)
	case bool:
		into[path] = append(into[path], fmt.Sprint("boolean ", value))
	default:
		into[path] = append(into[path], fmt.Sprint("number ", value))
	}
}

// lines compares texts. New is odd if it lacks lines that both answers of old have, or has
// more lines of its own than each of old's.
func (j *judgement) lines(bodies [3]string) {
	sets := [3]map[string]bool{}
	for i, body := range bodies {
		sets[i] = lineSet(body)
	}
	isOdd := func(i int) bool {
		a, b := (i+1)%3, (i+2)%3
		for line := range sets[a] {
			if sets[b][line] && !sets[i][line] {
				return true
			}
		}
		return ownLines(sets, i) > max(ownLines(sets, a), ownLines(sets, b))
	}
	switch {
	case isOdd(0), isOdd(2):
		j.noise(bodyField)
	case isOdd(1):
		j.reportBody(bodyField, newIsOdd, fmt.Sprintf("other lines on new (%d)", max(ownLines(sets, 1), 1)))
	}
}

// ownLines counts the lines that only one of the texts has.
func ownLines(sets [3]map[string]bool, i int) int {
	own := 0
	for line := range sets[i] {
		if !sets[(i+1)%3][line] && !sets[(i+2)%3][line] {
			own++
		}
	}
	return own
}

// lineSet splits a text at line ends and before tags.
func lineSet(text string) map[string]bool {
	lines := map[string]bool{}
	for line := range strings.Lines(strings.ReplaceAll(text, "<", "\n<")) {
		lines[hashed(strings.TrimSpace(line))] = true
	}
	return lines
}
