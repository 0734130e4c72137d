import pandas as pd
def find_classes(samples, prediction):
    return pd.DataFrame({"sample_id":samples.sample_id,"is_class_overlap_issue":False,"class_overlap_score":1.0})
def class_report(samples, prediction):
    return pd.DataFrame({"label":list(prediction.classes)})
