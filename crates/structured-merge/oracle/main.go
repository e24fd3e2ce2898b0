// Command oracle answers merge cases with sigs.k8s.io/structured-merge-diff, for comparison with the
// crate. It reads one JSON case per line on stdin and writes one JSON answer per line on stdout.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"

	"go.yaml.in/yaml/v2"
	"k8s.io/kube-openapi/pkg/schemaconv"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/merge"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// testCase is a schema and a history of writes to one object. Types are the names of the root type by
// version; a version that has none does not exist.
type testCase struct {
	Schema  json.RawMessage            `json:"schema"`
	Ignored map[string]json.RawMessage `json:"ignored"`
	// Included are prefixes by version; null is any element.
	Included map[string][][]*string `json:"included"`
	Steps    []step                 `json:"steps"`
	// Fields are texts to read as sets.
	Fields []string `json:"fields"`
	// Testdata is a file with a schema of Kubernetes, which is answered and used by later cases without
	// a schema.
	Testdata string `json:"testdata"`
	// OpenAPI is a schema to convert; the answer contains the result.
	OpenAPI json.RawMessage `json:"openapi"`
}

// step is one write.
type step struct {
	Op      string            `json:"op"`
	Manager string            `json:"manager"`
	Version string            `json:"version"`
	Types   map[string]string `json:"types"`
	Object  json.RawMessage   `json:"object"`
	Force   bool              `json:"force"`
}

type owned struct {
	Fields  string `json:"fields"`
	Version string `json:"version"`
	Applied bool   `json:"applied"`
}

// outcome is the state after a step, or why it failed.
type outcome struct {
	Error    string           `json:"error,omitempty"`
	Conflict bool             `json:"conflict,omitempty"`
	Object   any              `json:"object"`
	Changed  bool             `json:"changed"`
	Managers map[string]owned `json:"managers"`
	// Sets computed from the live object and the object of the step.
	Set       string `json:"set,omitempty"`
	Removed   string `json:"removed,omitempty"`
	Modified  string `json:"modified,omitempty"`
	Added     string `json:"added,omitempty"`
	Leaves    string `json:"leaves,omitempty"`
	Extracted any    `json:"extracted"`
	WithKeys  any    `json:"withKeys"`
	Rest      any    `json:"rest"`
}

type answer struct {
	// Unstable is set if two runs differ, because the library iterates over Go maps.
	Unstable bool      `json:"unstable,omitempty"`
	Steps    []outcome `json:"steps"`
	// Fields are the sets as written after reading, null for errors.
	Fields []*string `json:"fields"`
	// Testdata is the content of the file that was asked for, or the converted schema.
	Testdata any `json:"testdata,omitempty"`
}

// current is the schema of cases without one.
var current typed.Parser

func main() {
	// The heap is small and short-lived: collect it less often.
	debug.SetGCPercent(800)
	reader := bufio.NewReaderSize(os.Stdin, 1<<20)
	writer := bufio.NewWriter(os.Stdout)
	for {
		line, err := reader.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			out, err := json.Marshal(answerLine(line))
			if err != nil {
				panic(err)
			}
			writer.Write(append(out, '\n'))
			writer.Flush()
		}
		if err != nil {
			return
		}
	}
}

func answerLine(line []byte) answer {
	var c testCase
	if err := json.Unmarshal(line, &c); err != nil {
		panic(err)
	}
	if c.Testdata != "" {
		return answer{Testdata: testdata(c.Testdata)}
	}
	if len(c.OpenAPI) > 0 {
		return answer{Testdata: convert(c.OpenAPI)}
	}
	parser := &current
	if len(c.Schema) > 0 {
		parser = &typed.Parser{}
		if err := yaml.UnmarshalStrict(c.Schema, &parser.Schema); err != nil {
			panic(fmt.Errorf("schema: %v: %s", err, c.Schema))
		}
	}
	first := run(parser, &c)
	for range repetitions(&first) {
		if !reflect.DeepEqual(first, run(parser, &c)) {
			first.Unstable = true
		}
	}
	return first
}

// testdata reads a YAML file. A schema becomes the current one.
func testdata(path string) any {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	var content any
	if err := yaml.Unmarshal(text, &content); err != nil {
		panic(err)
	}
	content = stringKeys(content)
	if fields, ok := content.(map[string]any); ok && fields["types"] != nil {
		if err := yaml.Unmarshal(text, &current.Schema); err != nil {
			panic(err)
		}
	}
	return content
}

// convert makes a schema of an OpenAPI schema, which is named root.
func convert(text []byte) any {
	var root spec.Schema
	if err := json.Unmarshal(text, &root); err != nil {
		panic(err)
	}
	converted, err := schemaconv.ToSchemaFromOpenAPI(map[string]*spec.Schema{"root": &root}, false)
	if err != nil {
		panic(fmt.Errorf("%v: %s", err, text))
	}
	var content any
	if text, err = yaml.Marshal(converted.Types); err != nil {
		panic(err)
	}
	if err := yaml.Unmarshal(text, &content); err != nil {
		panic(err)
	}
	return map[string]any{"types": stringKeys(content)}
}

func stringKeys(v any) any {
	switch v := v.(type) {
	case map[any]any:
		out := map[string]any{}
		for k, e := range v {
			out[fmt.Sprint(k)] = stringKeys(e)
		}
		return out
	case []any:
		for i, e := range v {
			v[i] = stringKeys(e)
		}
	}
	return v
}

// repetitions is how often a case is run again to see whether its outcome is random.
func repetitions(a *answer) int {
	versions := map[string]bool{}
	for _, s := range a.Steps {
		if s.Error != "" && !s.Conflict {
			return 5
		}
		for _, m := range s.Managers {
			versions[m.Version] = true
		}
	}
	if len(versions) > 1 {
		return 5
	}
	return 0
}

func run(parser *typed.Parser, c *testCase) answer {
	out := answer{Steps: []outcome{}, Fields: []*string{}}
	var live any = map[string]any{}
	managers := map[string]owned{}
	for _, s := range c.Steps {
		o := runStep(parser, c, &s, live, managers)
		if o.Error == "" {
			live, managers = o.Object, o.Managers
		}
		out.Steps = append(out.Steps, o)
	}
	for _, text := range c.Fields {
		set := &fieldpath.Set{}
		if err := set.FromJSON(strings.NewReader(text)); err != nil {
			out.Fields = append(out.Fields, nil)
			continue
		}
		written := toJSON(set)
		out.Fields = append(out.Fields, &written)
	}
	return out
}

func runStep(parser *typed.Parser, c *testCase, s *step, liveObject any, before map[string]owned) (o outcome) {
	converter := converter{parser: parser, types: s.Types}
	o.Object, o.Managers = liveObject, before
	fail := func(err error) outcome {
		var conflicts merge.Conflicts
		o.Conflict = errors.As(err, &conflicts)
		o.Error = err.Error()
		return o
	}
	live, err := converter.typed(liveObject, s.Version, typed.AllowDuplicates)
	if err != nil {
		return fail(fmt.Errorf("live: %w", err))
	}
	var options []typed.ValidationOptions
	if s.Op == "update" {
		options = append(options, typed.AllowDuplicates)
	}
	object, err := converter.typed(decode(s.Object), s.Version, options...)
	if err != nil {
		return fail(fmt.Errorf("object: %w", err))
	}
	describe(&o, live, object)
	managers := fieldpath.ManagedFields{}
	for name, m := range before {
		set := &fieldpath.Set{}
		if err := set.FromJSON(strings.NewReader(m.Fields)); err != nil {
			panic(err)
		}
		managers[name] = fieldpath.NewVersionedSet(set, fieldpath.APIVersion(m.Version), m.Applied)
	}
	updater := merge.Updater{Converter: converter, IgnoreFilter: map[fieldpath.APIVersion]fieldpath.Filter{}}
	for version, fields := range c.Ignored {
		set := &fieldpath.Set{}
		if err := set.FromJSON(bytes.NewReader(fields)); err != nil {
			panic(err)
		}
		updater.IgnoreFilter[fieldpath.APIVersion(version)] = fieldpath.NewExcludeSetFilter(set)
	}
	for version, prefixes := range c.Included {
		updater.IgnoreFilter[fieldpath.APIVersion(version)] = include(prefixes)
	}
	var result *typed.TypedValue
	version := fieldpath.APIVersion(s.Version)
	if s.Op == "apply" {
		result, managers, err = updater.Apply(live, object, version, managers, s.Manager, s.Force)
	} else {
		result, managers, err = updater.Update(live, object, version, managers, s.Manager)
	}
	if err != nil {
		return fail(err)
	}
	o.Changed = result != nil
	if result != nil {
		o.Object = result.AsValue().Unstructured()
	}
	o.Managers = map[string]owned{}
	for name, m := range managers {
		o.Managers[name] = owned{Fields: toJSON(m.Set()), Version: string(m.APIVersion()), Applied: m.Applied()}
	}
	return o
}

func include(prefixes [][]*string) fieldpath.Filter {
	var matchers []*fieldpath.SetMatcher
	for _, prefix := range prefixes {
		var parts []any
		for _, part := range prefix {
			if part == nil {
				parts = append(parts, fieldpath.MatchAnyPathElement())
			} else {
				parts = append(parts, *part)
			}
		}
		matchers = append(matchers, fieldpath.MakePrefixMatcherOrDie(parts...))
	}
	return fieldpath.NewIncludeMatcherFilter(matchers...)
}

func describe(o *outcome, live, object *typed.TypedValue) {
	set, err := object.ToFieldSet()
	if err != nil {
		panic(err)
	}
	o.Set, o.Leaves = toJSON(set), toJSON(set.Leaves())
	comparison, err := live.Compare(object)
	if err != nil {
		panic(err)
	}
	o.Removed = toJSON(comparison.Removed)
	o.Modified = toJSON(comparison.Modified)
	o.Added = toJSON(comparison.Added)
	liveSet, err := live.ToFieldSet()
	if err != nil {
		panic(err)
	}
	o.Extracted = object.ExtractItems(liveSet).AsValue().Unstructured()
	o.WithKeys = object.ExtractItems(set.Leaves(), typed.WithAppendKeyFields()).AsValue().Unstructured()
	o.Rest = live.RemoveItems(set).AsValue().Unstructured()
}

func toJSON(set *fieldpath.Set) string {
	out, err := set.ToJSON()
	if err != nil {
		return "error: " + err.Error()
	}
	return string(out)
}

// decode reads integers as int64 and other numbers as float64, as Kubernetes does.
func decode(text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		panic(err)
	}
	return numbers(v)
}

func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = numbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = numbers(e)
		}
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, err := v.Float64()
		if err != nil {
			panic(err)
		}
		return f
	}
	return v
}

var errMissing = errors.New("no such version")

// converter renames root fields: `a_v1` of version v1 is `a_v2` in version v2. The field `ver` names the
// version of an object.
type converter struct {
	parser *typed.Parser
	types  map[string]string
}

func (c converter) typed(object any, version string, options ...typed.ValidationOptions) (*typed.TypedValue, error) {
	name, ok := c.types[version]
	if !ok {
		return nil, errMissing
	}
	if fields, ok := object.(map[string]any); ok && fields["ver"] != version {
		object = rename(fields, version)
	}
	return c.parser.Type(name).FromUnstructured(object, options...)
}

func rename(fields map[string]any, version string) map[string]any {
	out := map[string]any{}
	for name, v := range fields {
		if base, _, ok := strings.Cut(name, "_v"); ok {
			name = base + "_" + version
		}
		out[name] = v
	}
	if _, ok := fields["ver"]; ok {
		out["ver"] = version
	}
	return out
}

// Convert implements merge.Converter.
func (c converter) Convert(object *typed.TypedValue, version fieldpath.APIVersion) (*typed.TypedValue, error) {
	v := object.AsValue()
	if fields, ok := v.Unstructured().(map[string]any); ok && fields["ver"] == string(version) {
		if _, ok := c.types[string(version)]; ok {
			return object, nil
		}
	}
	converted, err := c.typed(v.Unstructured(), string(version), typed.AllowDuplicates)
	if err != nil {
		return object, err
	}
	return converted, nil
}

// IsMissingVersionError implements merge.Converter.
func (c converter) IsMissingVersionError(err error) bool {
	return errors.Is(err, errMissing)
}
