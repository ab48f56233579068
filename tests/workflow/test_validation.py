"""All that is wrong with an analysis in one message, each with its place and the nearest valid name."""

import json
import math

import correctionlib.schemav2 as cs
import pytest
import yaml
from helpers.analyses import content
from helpers.toy_nano import toy_nano

from oddjets.config.analysis import load_analysis
from oddjets.config.yaml import ConfigError
from oddjets.workflow.validation import resolve, validated

FILESET = {
    "data": {"files": ["d.root"], "metadata": {"process": "data", "is_data": True, "era": "simulation"}},
    "top": {
        "files": ["t.root"],
        "metadata": {"process": "top", "is_data": False, "era": "simulation", "cross_section_pb": 1.0},
    },
}


def observable(expression):
    return {"expression": expression, "label": "x", "bins": 2, "range": [0, 1]}


@pytest.fixture
def problems(tmp_path):
    """Return what `resolve` says of changed content, "" if nothing."""

    def of(data, fileset=None):
        (tmp_path / "fileset.json").write_text(json.dumps(fileset or FILESET))
        (tmp_path / "a.yaml").write_text(yaml.safe_dump(data))
        try:
            resolve(load_analysis(tmp_path / "a.yaml"))
        except ConfigError as error:
            return str(error)
        return ""

    return of


def test_a_right_analysis_has_no_problems(problems):
    assert problems(content()) == ""


def test_all_at_once_with_nearest_names(problems):
    data = content()
    data["regions"]["SR"] = {"all": "tau12_low", "any": "two_jets", "cuts": ["btagged", "two_jet"]}
    data["selection"]["cuts"] = ["triger", "btagged"]
    data["threshold"]["score"] = "omnilearnd"
    data["fit"]["regions"] = ["SRR"]
    data["fit"]["poi"]["process"] = "tops"
    data["fit"]["observable"] = "leading_mas"
    data["systematics"] = ["jess"]
    data["scores"]["omnilearned"]["card"] = "omnilearned_smal_simulation.yaml"
    data["observables"]["bad"] = {"expression": "mass_1 +", "label": "x", "bins": 2, "range": [0, 1]}
    message = problems(data)
    for part in (
        "regions.SR.all: no cut 'tau12_low' on single jets; did you mean 'tau21_low'",
        "regions.SR.any: 'two_jets' is no cut on single jets (@jet_cut); name it in 'cuts'",
        "regions.SR.cuts.0: 'btagged' is a cut on single jets; a region says which jets pass it: all, any, leading or",
        "regions.SR.cuts.1: no cut or region 'two_jet'; did you mean 'two_jets'",
        "selection.cuts.1: 'btagged' is a cut on single jets",
        "selection.cuts.0: no cut 'triger'; did you mean 'trigger'",
        "threshold.score: no score 'omnilearnd'; did you mean 'omnilearned'",
        "fit.regions: no region 'SRR'; did you mean 'SR",
        "fit.poi.process: no simulated process 'tops'; did you mean 'top'",
        "fit.observable: no observable 'leading_mas'; did you mean 'leading_mass'",
        "systematics.0: no systematic 'jess' in era 'simulation'; did you mean 'jes'",
        "scores.omnilearned.card: no file 'omnilearned_smal_simulation.yaml'",
        "did you mean 'omnilearned_small_simulation.yaml'",
        "observables.bad.expression",
    ):
        assert part in message, part


WRONG = """\
extends: base.yaml
titel: mine
selection:
  triger: [PFHT800]
  jets: {pt_min: high}
regions:
  SR: {al: tau12_low}
  VR1: {cuts: [mas_2 > 100]}
observables:
  mass: {expression: mass_1, bins: 4}
  bad: {expression: pt_3, label: x, bins: 2, range: [0, 1]}
systematics: [jes, {name: pu, kind: wait}]
fit:
  regions: [SR, VRR]
  observable: mass
"""
SAID = """\
  titel: unknown key; did you mean 'title'? (line 2)
  selection.triger: unknown key; did you mean 'triggers' or 'taggers'? (line 4)
  selection.jets.pt_min: input should be a valid number, unable to parse string as a number (got 'high') (line 5)
  observables.mass.label: field required (line 10)
  regions.SR.al: unknown key; did you mean 'all'? (line 7)
  systematics.1.kind: input should be 'jets', 'weight', 'envelope' or 'scores' (got 'wait') (line 12)
  fit.limitt: unknown key; did you mean 'limit'? (base.yaml, line 2)
  regions.SR.al: no cut 'tau12_low' on single jets; did you mean 'tau21_low'? (line 7)
  regions.VR1.cuts.0: no column 'mas_2'; did you mean 'mass_2' or 'mass_1' or 'eta_2'? (line 8)
"""


def test_errors_of_form_and_of_names_are_said_together_with_their_lines(tmp_path):
    base = content()
    base["fit"]["limitt"] = True
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({"fit": base.pop("fit")}) + yaml.safe_dump(base))
    (tmp_path / "fileset.json").write_text(json.dumps(FILESET))
    (tmp_path / "wrong.yaml").write_text(WRONG)
    with pytest.raises(ConfigError) as found:
        validated(tmp_path / "wrong.yaml")
    said = str(found.value).splitlines()[1:]
    for line in SAID.splitlines():
        assert line in said


def test_errors_of_shape_speak_of_lists_and_mappings(tmp_path):
    file = tmp_path / "shapes.yaml"
    wrong = {"both": {"product": "xbb"}, "flat": {"product": ["xbb"], "flat_in": "mass"}, "other": "xbb"}
    (tmp_path / "fileset.json").write_text(json.dumps(FILESET))
    file.write_text(yaml.safe_dump(content(scores={**content()["scores"], **wrong})))
    with pytest.raises(ConfigError) as found:
        validated(file)
    said = str(found.value)
    assert "scores.both.product: should be a list, as [a, b] (got 'xbb')" in said
    assert "scores.flat.flat_in: should be a mapping, as {key: value} (got 'mass')" in said
    assert "scores.other: should be a mapping, as {key: value} (got 'xbb')" in said
    for word in ("tuple", "dictionary", "instance of"):
        assert word not in said


ERA = """\
extends: simulation
files:
  mine: {path: mine.json, sha256: SHA, source: me}
"""
BY_FILE = {"name": "mine", "correction": {"file": "mine", "key": "acceptance", "inputs": {"pt": "pt_1"}}}


@pytest.mark.parametrize(
    ("era", "change", "said"),
    [
        (
            "0" * 64,
            {"systematics": [BY_FILE]},
            "systematics.0: {}/mine.json: no such correction file; see 'files.mine' in the",
        ),
        (
            "unchecked",
            {"systematics": ["jes", {**BY_FILE, "correction": {**BY_FILE["correction"], "file": "mien"}}]},
            "systematics.1: era 'simulation': no correction file 'mien'; did you mean 'mine'?",
        ),
        (
            "unchecked",
            {"selection": {"cuts": ["certified", "two_jets"], "golden_json": "no.json", "luminosity_table": "no.csv"}},
            "selection.luminosity_table: {}/no.csv: no such file",
        ),
        (
            "unchecked",
            {"selection": {"cuts": ["certified"], "golden_json": "no.json"}},
            "selection.golden_json: {}/no.json: no",
        ),
        (
            "unchecked",
            {
                "systematics": [
                    {"name": "x", "correction": {"nominal": None, "up": "1 + ptt_1", "down": "genWeigth * pt_1"}}
                ]
            },
            "systematics.0.correction.down: no column 'genWeigth', and no such branch in {}/t.root; did you mean 'genWeight'",
        ),
    ],
)
def test_files_that_are_named_are_looked_for_and_into(tmp_path, era, change, said):
    toy_nano(tmp_path / "t.root", 5)
    (tmp_path / "fileset.json").write_text(json.dumps(FILESET))
    (tmp_path / "mine.yaml").write_text(ERA.replace("SHA", f"'{era}'"))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content(era="mine", **change)))
    with pytest.raises(ConfigError) as found:
        validated(tmp_path / "a.yaml")
    assert said.format(tmp_path) in str(found.value)


@pytest.mark.parametrize(
    ("inputs", "key", "said"),
    [
        ({"pt": "pt_1", "way": "variation"}, "acceptance", ""),
        (
            {"pt": "pt_1", "way": "variation"},
            "acceptance2",
            "mine.json: no correction 'acceptance2'; did you mean 'acceptance'?",
        ),
        ({"pt": "pt_1"}, "acceptance", "correction 'acceptance': inputs are pt, way; 'way' is missing or unknown"),
    ],
)
def test_the_key_and_the_inputs_of_a_correction_are_compared_with_its_file(tmp_path, inputs, key, said):
    ways = [cs.CategoryItem(key=way, value=weight) for way, weight in {"nominal": 1.0, "up": 1.1, "down": 0.9}.items()]
    made = cs.Correction(
        name="acceptance",
        version=1,
        inputs=[cs.Variable(name="pt", type="real"), cs.Variable(name="way", type="string")],
        output=cs.Variable(name="weight", type="real"),
        data=cs.Category(nodetype="category", input="way", content=ways),
    )
    whole = cs.CorrectionSet(schema_version=2, corrections=[made])
    (tmp_path / "mine.json").write_text(whole.model_dump_json(exclude_unset=True))
    (tmp_path / "fileset.json").write_text(json.dumps(FILESET))
    (tmp_path / "mine.yaml").write_text(ERA.replace("SHA", "unchecked"))
    correction = {"file": "mine", "key": key, "inputs": inputs}
    systematic = {"name": "mine", "correction": correction}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content(era="mine", systematics=[systematic])))
    try:
        validated(tmp_path / "a.yaml")
        message = ""
    except ConfigError as error:
        message = str(error)
    assert (said in message) if said else message == ""


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (
            {"era": "simulaton"},
            "no file 'simulaton' in corrections/ or beside the analysis; did you mean 'simulation'?",
        ),
        ({"processor": "dijet_anomaly.py"}, "not of the form FILE.py:CLASS"),
        ({"processor": "dijet_anomly.py:X"}, "did you mean 'dijet_anomaly.py'"),
        ({"processor": "dijet_anomaly.py:DijetAnomly"}, "did you mean 'DijetAnomaly'"),
        (
            {"fileset": None, "simulate": {"luminosity": 1.0, "inject": {"tpo": 2.0}}},
            "simulate: unknown process 'tpo': did you mean 'top'",
        ),
        ({"fileset": None}, "give one of 'simulate'"),
        ({"fileset": "filset.json"}, "no file 'filset.json'"),
        ({"processor": "mine.py"}, "\n  processor: 'mine.py' is not of the form FILE.py:CLASS"),
        ({"regions": {"SR": {"cuts": ["not VR"]}, "VR": {"cuts": ["not SR"]}}}, "refers to itself"),
        (
            {"regions": {"SR": {"all": ["tau21_low", "not tau21_low"]}}},
            "regions.SR: no event can pass, since its cuts contradict each other (all: tau21_low, not tau21_low)",
        ),
        ({"systematics": ["jes", "jes"]}, "'jes' is listed twice"),
        ({"systematics": [{"name": "new", "kind": "jets"}]}, "no jet systematic 'new'"),
        (
            {"systematics": [{"name": "new", "correction": {"nominal": "1", "up": "1 +", "down": "exec(1)"}}]},
            "systematics.0.correction.up: '1 +' is not an arithmetic expression (line 58)\n  systematics.0.correction.down",
        ),
        (
            {"observables": {"leading_mass": observable("mas_1")}},
            "observables.leading_mass.expression: no column 'mas_1'; did you mean 'mass_1'",
        ),
        ({"regions": {"SR": {"cuts": ["mas_2 > 100"]}}}, "regions.SR.cuts.0: no column 'mas_2'; did you mean 'mass_2'"),
        (
            {"regions": {"SR": {"subleading": "not mas > 100"}}},
            "regions.SR.subleading: no column 'mas' of each jet; did you mean 'mass'",
        ),
        ({"regions": {"SR": {"any": "mjj > 100"}}}, "regions.SR.any: no column 'mjj' of each jet;"),
        ({"regions": {"SR": {"cuts": ["mass_2 + 1"]}}}, "regions.SR.cuts.0: the cut 'mass_2 + 1' is no condition"),
        ({"regions": {"SR": {"all": "1 > 0"}}}, "regions.SR.all: the cut '1 > 0' reads no column"),
        ({"regions": {"SR": {"cuts": [""]}}}, "regions.SR.cuts.0: an empty cut; leave it out"),
        (
            {"regions": {"SR": {"cuts": ["maximum(mass_1", "mass_2) > 100"]}}},
            "'maximum(mass_1' is not an arithmetic expression; in a list between [ and ], a cut with a comma stands in quot",
        ),
        ({"regions": {"SR": {"cuts": ["mass_2 >> 100"]}}}, "regions.SR.cuts.0: 'mass_2 >> 100': only arithmetic"),
        ({"regions": {"SR": {"cuts": ["len(mass_2) > 100"]}}}, "no function 'len'"),
        (
            {"regions": {"SR": {"cuts": ["VR1 and mass_2 > 3"]}, "VR1": {"any": "not tau21_low"}}},
            "'VR1' is a region, and",
        ),
        (
            {"regions": {"SR": {"all": "tau21_low and mass > 3"}}},
            "'tau21_low' is a cut, and an expression reads columns",
        ),
        ({"regions": {"SR": {"cuts": ["trigger_PFHT800"]}}}, "compare it with something, as in trigger_PFHT800 == 1"),
        ({"regions": {"SR": {"cuts": ["n_muons == 0 & n_electrons == 0"]}}}, "'&' and '|' are done before comparisons"),
        (
            {"regions": {"SR": {"cuts": ["mass_2"]}}},
            "regions.SR.cuts.0: 'mass_2' is a column: compare it with something, as in mass_2 > 100",
        ),
        ({"regions": {"SR": {"all": "not mass"}}}, "regions.SR.all: 'mass' is a column: compare it"),
        ({"selection": {"cuts": ["mjj > 100"]}}, "selection.cuts.0: is no name, which has letters, digits"),
        # of the processor's own columns
        (
            {"observables": {"leading_mass": observable("tau12_1 * mass_1")}},
            "or 'tau21_1'?",
        ),
    ],
)
def test_each_mistake_is_named(problems, change, part):
    assert part in problems(content(**change))


@pytest.mark.parametrize(
    "expression",
    [
        *("tau21_2", "score_omnilearned_1", "trigger_PFHT800", "mass_1__jesUp", "n_constituents_2"),
        *("share_X_bb_omnilearned_2", "prob_X_3q_omnilearned_1"),
    ],
)
def test_columns_that_there_will_be_are_right(problems, expression):
    data = content(observables={"leading_mass": observable(expression)})
    data["scores"]["omnilearned"]["keep_probabilities"] = True
    assert problems(data) == ""


@pytest.mark.parametrize(
    ("decorator", "code", "said"),
    [
        ("cut", "table['mas_2'] > 100", "cut 'mine': mine.py, line 6: no column 'mas_2'; did you mean 'mass_2'"),
        (
            "jet_cut",
            "table['mas'] > 100",
            "cut 'mine': mine.py, line 6: no column 'mas' of each jet; did you mean 'mass'",
        ),
        # who looks first may read what is not there
        ("cut", "table['ma_1'] > 1 if 'ma_1' in table else table['mass_1'] > 1", ""),
        ("cut", "table['mass_2__jesUp'] > 100", ""),
        ("cut", "table[{}['x']] > 100", ""),
    ],
)
def test_a_method_that_reads_a_column_that_will_not_be_there_is_found(problems, tmp_path, decorator, code, said):
    (tmp_path / "mine.py").write_text(
        "from oddjets.selection import DijetProcessor, cut, jet_cut\n\nclass Mine(DijetProcessor):\n"
        f"    @{decorator}\n    def mine(self, table):\n        return {code}\n"
    )
    quantifier = "all" if decorator == "jet_cut" else "cuts"
    fit = {"observable": "leading_mass", "regions": ["SR"], "poi": {"process": "top"}}
    message = problems(content(processor="mine.py:Mine", regions={"SR": {quantifier: "mine"}}, fit=fit))
    assert (said in message) if said else message == ""


@pytest.mark.parametrize(
    "method",
    [
        "event_columns(self, events):\n        return {'ht': 1}",
        "jet_columns(self, jets):\n        return dict(jets.fields)",
    ],
)
def test_nothing_is_said_of_columns_that_the_users_code_may_add(problems, tmp_path, method):
    base = "from oddjets.selection import DijetProcessor\n\nclass Mine(DijetProcessor):\n"
    (tmp_path / "mine.py").write_text(f"{base}    def {method}\n")
    regions = {"SR": {"cuts": ["jet_pt"]}, "VR1": {"cuts": ["not jet_pt"]}}
    columns = {"leading_mass": observable("unheard_of")}
    assert problems(content(processor="mine.py:Mine", regions=regions, observables=columns)) == ""


def test_a_scale_factor_on_the_poi_is_refused(problems):
    data = content()
    data["fit"]["scale_factor"] = {"processes": ["top", "wjets"]}
    assert "'top' is the POI's process; the two would be degenerate" in problems(data)


def test_a_fileset_with_an_unknown_process(problems):
    fileset = json.loads(json.dumps(FILESET))
    fileset["top"]["metadata"]["process"] = "tpo"
    assert "fileset.top: no process 'tpo'; did you mean 'top'" in problems(content(), fileset)


def test_only_filesets_are_offered_for_a_fileset(problems):
    """The folder has the analysis too, and datasets/ a list of samples, a text and a bank."""
    message = problems(content(fileset="filset.jsn"))
    assert "fileset: no file 'filset.jsn' in datasets/ or beside the analysis; did you mean 'fileset.json'?" in message
    message = problems(content(fileset="x"))
    assert "valid names: cms_2016.json, fileset.json" in message
    assert "bank.parquet" not in message


def test_a_weight_that_the_era_does_not_have(problems):
    fileset = json.loads(json.dumps(FILESET))
    fileset["top"]["metadata"]["weights"] = ["prof"]
    assert "fileset.top.weights: era 'simulation' has no correction 'prof'; did you mean 'pref'" in problems(
        content(), fileset
    )


def test_a_processor_with_a_syntax_error_names_the_line(problems, tmp_path):
    (tmp_path / "mine.py").write_text("x = 1\ndef f(:\n")
    assert "mine.py, line 2" in problems(content(processor="mine.py:Mine"))


def test_every_analysis_that_we_ship_is_right():
    from oddjets.core.resources import available, find

    shipped = [
        name for name in available("processors") if name.endswith(".yaml") and not name.endswith("_choices.yaml")
    ]
    assert len(shipped) >= 8
    for name in shipped:
        resolve(load_analysis(find(name, "processors")))


@pytest.mark.parametrize("bounds", [[1, 1], [10, 0], [0, float("inf")], [float("nan"), 1]])
def test_a_parameter_of_interest_that_cannot_move_is_refused(problems, bounds):
    data = content()
    data["fit"]["poi"]["bounds"] = bounds
    assert "fit.poi" in problems(data)
    finite = all(map(math.isfinite, bounds))
    why = "a parameter with one value only is not fitted and has no error" if finite else "should be a finite number"
    assert why in problems(data)


def test_what_would_be_two_parameters_or_channels_of_one_name_is_refused(problems):
    data = content()
    region = data["fit"]["regions"][0]
    data["fit"]["regions"] = [region, region]
    data["fit"]["poi"]["name"] = "lumi"
    data["fit"]["normalisations"] = {"sf": {"processes": ["top"], "size": 0.1}}
    message = problems(data)
    assert f"fit.regions: '{region}' is listed twice" in message
    assert "fit.poi.name: 'lumi' is another parameter's name" in message
    assert "fit.normalisations.sf: this name is kept" in message


def test_a_scale_factor_starts_within_its_bounds(problems):
    data = content()
    data["fit"]["scale_factor"] = {"processes": [], "init": 2, "bounds": [0, 1]}
    assert "fit.scale_factor.init: 2.0 is outside the bounds [0.0, 1.0]" in problems(data)


CUTS = ["trigger", "event_filters", "two_jets"]
OWN = """
from dijet_anomaly import DijetAnomaly
from oddjets.selection import cut


class Mine(DijetAnomaly):
    @cut
    def trigger(self, table):
        return table["event"] > 0
"""


@pytest.mark.parametrize("selection", [{"triggers": []}, {}, {"cuts": CUTS}, {"cuts": ["trigger"], "triggers": []}])
def test_the_cut_on_triggers_needs_a_path(problems, selection):
    assert "selection.triggers: is empty, and the cut 'trigger' needs at least one" in problems(
        content(selection=selection)
    )


@pytest.mark.parametrize("triggers", [{}, {"triggers": []}])
def test_no_path_is_needed_without_the_cut(problems, triggers):
    without = {"cuts": ["event_filters", "two_jets"], **triggers}
    assert problems(content(selection=without)) == ""
    in_region = content(selection=without)
    in_region["regions"]["X"] = {"cuts": ["not trigger"]}
    assert "selection.triggers: is empty" in problems(in_region)


def test_a_cut_of_ones_own_of_that_name_needs_no_path(problems, tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    assert problems(content(selection={"cuts": CUTS}, processor="mine.py:Mine")) == ""
